"""Names of splits, whatever their case, language and form."""

import time
import unicodedata

import pytest

from m3i_jax.data.sources.split_words import is_piece, is_round, parted, qualified, split_of, words

NAMES = {
    "train": "train Train TRAIN training Training_Set training_set "
    "trainset train2017 train-images "
    "ILSVRC2012_img_train images_train Train_Data train_256 imgs-train train.jpg",
    "test": "test Test TEST testing test_set Test-Set testset test2014 TestImages tst "
    "holdout Hold-Out held_out_set",
    "val": "val Val VAL valid validation Validation_Set "
    "dev DEV eval evaluation val2017 val_images "
    "ILSVRC2012_img_val",
}


@pytest.mark.parametrize("kind", NAMES)
def test_splits_are_known_whatever_the_case(kind):
    for name in NAMES[kind].split():
        assert split_of(name) == kind, name


def test_other_words_are_no_splits():
    for (
        name
    ) in "trains tests trainer contest value devkit devil testament cat 2017 set x_y".split():
        assert split_of(name) is None, name


ABROAD = {  # training; test or validation
    "German": "Trainingsdaten Training Trainingsbilder Trainingsdatensatz "
    "Trainings-Set; Testdaten "
    "Testbilder Prüfdaten Testdatensatz Validierung Validierungsdaten Validierungsmenge",
    "French": "entraînement Entraînement ENTRAÎNEMENT données_d'entraînement apprentissage "
    "jeu_de_données_d'entraînement ensemble_d_apprentissage; test jeu_de_test essai évaluation",
    "Spanish": "entrenamiento Entrenamiento datos_de_entrenamiento "
    "conjunto-de-entrenamiento; prueba "
    "pruebas datos_de_prueba validación conjunto_de_validación",
    "Italian": "addestramento allenamento set_di_addestramento; prova dati_di_test validazione",
    "Portuguese": "treino treinamento dados_de_treino; teste testes validação conjunto_de_teste",
    "Dutch": "training trainingsset trainings_data; test testset validatie",
    "Polish": "treningowy zbiór_treningowy dane_treningowe zbiór_uczący; testowy zbiór_testowy "
    "walidacyjny walidacja",
    "Czech": "trénovací trénovací_data; testovací testovací_data validační",
    "Swedish": "träning träningsdata; test testdata validering",
    "Danish": "træning træningsdata; test validering",
    "Finnish": "koulutus opetus; testi validointi",
    "Hungarian": "tanító tanítás; teszt validálás",
    "Romanian": "antrenare antrenament; testare validare",
    "Turkish": "eğitim eğitim_verisi Eğitim EĞİTİM; sınama doğrulama",
    "Russian": "обучение Обучение обучающая_выборка тренировочный_набор "
    "данные_для_обучения; тест "
    "Тест тестовая_выборка тестовые_данные валидация проверка",
    "Ukrainian": "навчання навчальна_вибірка; тестування тестова_вибірка валідація",
    "Greek": "εκπαίδευση ΕΚΠΑΙΔΕΥΣΗ; δοκιμή τεστ επικύρωση",
    "Arabic": "تدريب بيانات_التدريب; اختبار بيانات_الاختبار التحقق",
    "Persian": "آموزش داده_آموزش; آزمون اعتبارسنجی",
    "Hebrew": "אימון; בדיקה מבחן אימות",
    "Hindi": "प्रशिक्षण; परीक्षण सत्यापन",
    "Chinese": "训练集 训练 训练数据 訓練集 训练集2 训练图片 "
    "训练样本; 测试集 測試 测试数据 验证集 驗證集",
    "Japanese": "訓練 訓練データ 学習用 学習データ トレーニング; "
    "テスト テストデータ 検証 検証用 評価データ",
    "Korean": "훈련 학습용 훈련데이터 학습_데이터 훈련_세트; 테스트 검증 평가 테스트셋",
    "Vietnamese": "huấn_luyện tập_huấn_luyện; kiểm_tra tập_kiểm_tra kiểm_thử",
    "Indonesian": "latih data_latih pelatihan; uji data_uji pengujian validasi",
    "Thai": "ฝึก ชุดฝึก ข้อมูลฝึก; ทดสอบ ชุดทดสอบ ตรวจสอบ",
}


@pytest.mark.parametrize("language", ABROAD)
def test_splits_are_known_in_other_languages(language):
    train, test = (part.split() for part in ABROAD[language].split(";"))
    for name in (*train, *test):
        for form in ("NFC", "NFD", "NFKC"):
            for spelt in (name, name.replace("_", " ")):
                found = split_of(unicodedata.normalize(form, spelt))
                assert found == "train" if name in train else found in ("test", "val"), spelt


def test_classes_are_no_splits_in_any_language():
    names = (
        "Katze Hund Zug tren tren_rápido gato prueban examen perro chat école поезд кошка собака "
    )
    names += "猫 狗 火车 电车 学校 训练师 测试员 教師 犬 電車 고양이 기차 학생 قطة "
    names += "قطار חתול रेल แมว รถไฟ tàu train_rápido "
    names += (
        "testament testudo valve valentine devon evaluator latest protest contest dataset images "
    )
    names += "data set Daten 数据 1 2017 entrenador trainer entraîneur trenér лес тестo"
    for name in names.split():
        assert split_of(name.replace("_", " ")) is None, name


def test_pieces_of_a_split_are_known_and_classes_are_none():
    pieces = "fold_1 fold1 Fold-01 cv0 CV_1 kfold3 k-fold-3 fold_a foldB 5fold 1st_fold fold1of5 "
    pieces += "fold_1_of_5 第1折 折2 shard-00001-of-00010 partition1 subset0 unlabeled Unlabelled "
    pieces += "labeled_data Faltung_2 фолд3 fold(1)"
    for name in pieces.split():
        assert is_piece(name) and is_piece(name.replace("_", " ")), name
        assert split_of(name) is None, name
    classes = "cat fold cv scaffold folded blindfold_1 class_1 cv_writer part1 set_1 1 chunk shard "
    classes += "manifold_2 unlabeled_bottle cats 2cv CV folder1 train"
    for name in classes.split():
        assert not is_piece(name), name
    for name in ("part1", "set_1", "Batch-02", "session 3"):
        assert is_round(name)
    for name in ("part", "1", "settee_1", "carpart1", "class_1", "person_1"):
        assert not is_round(name)


def test_a_split_with_words_that_tell_parts_of_data_apart_is_one():
    names = {
        "train": "train-other-500 train-clean-100 train_small Train_HR trainClean train10k "
        "train_1shot other_train_500 train.v1 training_batch_a trainval trainval2017 train_val",
        "test": "test-clean test_public test-dev test-dev2017 clean-test test_5shot testOther",
        "val": "dev-clean Valid_LR val_1pct val-v1",
    }
    for kind, spelt in names.items():
        for name in spelt.split():
            assert qualified(name) == kind and split_of(name) is None, name
    classes = "train-station test-tube dev_board valid_ticket train_driver bird_train clean other "
    classes += "500 train_test trainer_small testtube station-other-500 training_shoe"
    for name in classes.split():
        assert qualified(name) is None, name
    assert words("trainSet_10k-v2") == ["train", "set", "10", "k", "v", "2"]
    assert parted("train-station 2") == (["train"], ["station", "2"])


def test_long_names_take_no_time():
    start = time.process_time()
    for name in ("9" * 250 + "x", "train" + "9" * 250 + "x", "dataset" * 36, "d'" * 120 + "x"):
        assert split_of(name) is qualified(name) is None
    assert split_of("train" + "_dataset" * 9) == "train"
    assert time.process_time() - start < 0.5
