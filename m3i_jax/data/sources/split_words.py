"""What the splits of a data set, and parts of them, are called, in the languages of folders.

A name is a word for a split, with words around it that do not say which: `Trainingsdaten`,
`conjunto_de_prueba`, `训练集2`. Words that are as likely to name a class are left out: a list that
is too long would take classes for splits.
"""

import re
import unicodedata

LONGEST = 80  # letters of a name that says so
# An underscore is any gap. All is compared as `folded` leaves it.
WORDS = {
    "train": """
        train training trainings trn learning lern treino treinamento treinar entrenamiento
        entrenar entrenament adestramento addestramento allenamento entraînement apprentissage
        antrenament antrenare trening treningowy treningowa treningowe uczący ucząca uczące
        trénovací tréning trénink trenovanie träning tränings træning trænings opplæring trenings
        koulutus opetus tanító tanítás tanuló eğitim latih pelatihan huấn_luyện đào_tạo
        εκπαίδευση εκπαίδευσης обучение обучения обучающая обучающий обучающие обучающее
        тренировка
        тренировочная тренировочный тренировочные учебная навчання навчальна навчальний навчальні
        тренувальна тренувальний тренувальні تدريب التدريب تدريبية آموزش آموزشی אימון
        प्रशिक्षण ट्रेन
        训练 訓練 学習 教師データ トレーニング 훈련 학습 트레이닝 ฝึก ฝึกสอน ฝึกฝน การฝึก
    """,
    "test": """
        test testing tst holdout hold_out heldout held_out prüf prüfung prüfungs
        teste testes prueba pruebas ensayo prova
        collaudo essai essais testowy testowa testowe testovací testovanie testovaní testi testaus
        teszt tesztelő tesztelés testare sınama uji pengujian kiểm_tra kiểm_thử δοκιμή
        δοκιμής τεστ
        тест тестовая тестовый тестовые тестовое тестирование тестирования контрольная тестова
        тестові тестовий тестування اختبار الاختبار اختبارية آزمون آزمایش آزمایشی تست בדיקה בדיקות
        מבחן परीक्षण टेस्ट 测试 測試 测验 テスト 試験 検査データ 테스트 시험 ทดสอบ การทดสอบ
    """,
    "val": """
        val valid validation dev eval evaluation validierung validierungs evaluierung evaluierungs
        validación evaluación validazione convalida valutazione validação avaliação évaluation
        validatie walidacja walidacyjny walidacyjna walidacyjne validační validace validácia
        validering validerings validointi validálás validációs validare doğrulama geçerleme
        validasi evaluasi xác_thực kiểm_định επικύρωση επικύρωσης валидация валидации
        валидационная
        валидационный валидационные проверка проверочная проверочный проверочные оценка валідація
        валідаційна التحقق تحقق تقييم اعتبارسنجی ارزیابی אימות ולידציה सत्यापन 验证 驗證
        校验 评估 検証
        バリデーション 評価 검증 평가 ตรวจสอบ การตรวจสอบ
    """,
}
# What pieces of a split are called, with a number: fold_1, cv0, k-fold 3, 第1折.
PIECES = """
    fold kfold k_fold cv_fold crossval cross_val cross_validation xval shard chunk partition subset
    faltung pliegue фолд 折 フォールド 폴드
"""
# And, where folders of the same names are in each, these: part_1, batch2.
ROUNDS = "part batch split set group session day run round box disk"
# And what says which of the images have a label.
KINDS = """
    labeled labelled unlabeled unlabelled un_labeled un_labelled annotated unannotated supervised
    unsupervised
"""
# What tells several of a kind apart, behind or before the word: train-other-500, test_public.
QUALIFIERS = """
    clean other noisy real synthetic synth sim simulated small medium large tiny mini micro full
    half extra additional easy hard seen unseen known unknown id ood iid day night indoor outdoor
    fine coarse public private hidden source target hr lr hq lq rgb gray grey raw original final
    processed preprocessed resized cropped aug augmented balanced unbalanced imbalanced weak strong
    std version shot pct percent px part batch split group session round run subset chunk shard
"""
# What training on two splits is called.
BOTH = "trainval train_val train+val"
_BEFORE = """
    ilsvrc image images img imgs data set bilder daten datos imágenes conjunto jeu données
    ensemble
    dati immagini dados imagens dane obrazy zbiór данные набор выборка изображения veri
    kumpulan bộ
    tập dữ_liệu بيانات مجموعة صور داده مجموعه נתוני सेट ข้อมูล ชุด 数据 資料 画像 图像
"""
_LINKS = """
    de del d l di da do der das die fur for of para pour per dla для на zum zur le la les het voor
"""
_BEHIND = """
    set sets split splits data folder dir dirs image images img imgs photos pics pix jpeg jpg jpegs
    jpgs png pngs
    daten sätze satz bilder bild menge fotos datos imágenes données dati immagini dados
    imagens dane
    obrazy zbiór afbeeldingen gegevens adat adatok képek veri verileri verisi seti kümesi
    görüntüler
    gambar ảnh данные данных набор выборка изображения фото дані набір вибірка δεδομένα δεδομένων
    بيانات صور مجموعة داده ها 集 组 組 用 数据 數據 資料 资料 样本 樣本 图片 圖片 图像 圖像
    照片 文件夹
    データ セット 画像 데이터 세트 셋 집합 이미지 용 사진 사진들
"""
_GAP = r"[\s_.\-'’()\[\]]"


def folded(name: str) -> str:
    """A name without case, width, accents and the form that these have."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    bare = "".join(c for c in apart if unicodedata.category(c) != "Mn")
    return unicodedata.normalize("NFC", bare).strip()


def _any(words: str) -> str:
    """A pattern of any of the words, the longest first."""
    patterns = (re.escape(folded(word)).replace("_", f"{_GAP}*") for word in words.split())
    return "|".join(sorted(set(patterns), key=len, reverse=True))


_SHAPES = {
    kind: re.compile(
        rf"(?:(?:(?:{_any(_BEFORE)}|\d){_GAP}*)|(?:(?:{_any(_LINKS)}){_GAP}))*"
        rf"(?:{_any(words)})(?:{_GAP}*(?:{_any(_BEHIND)}|\d))*{_GAP}*"
    )
    for kind, words in WORDS.items()
}

_PIECE = re.compile(
    rf"第?\d+{_GAP}*(?:st|nd|rd|th|º|ª)?{_GAP}*(?:{_any(PIECES)}){_GAP}*|"
    rf"(?:\d+{_GAP}*)?(?:{_any(PIECES)}|cv){_GAP}*(?:\d+|{_GAP}[a-k])"
    rf"(?:{_GAP}*(?:of|von|de|di|из|/)?{_GAP}*\d+)?{_GAP}*|"
    rf"fold[a-k]|(?:{_any(KINDS)})(?:{_GAP}*(?:{_any(_BEHIND)}|\d))*"
)
_ROUND = re.compile(rf"(?:{_any(ROUNDS)}){_GAP}*\d+{_GAP}*")


_QUALIFIER = re.compile(
    rf"{_any(' '.join((QUALIFIERS, KINDS, _BEFORE, _BEHIND, _LINKS)))}|[a-z]|\d+"
)
_GLUED = re.compile(
    r"(?P<first>train(?:ing)?|test(?:ing)?|valid(?:ation)?|val|eval)(?P<behind>[a-z]+)|"
    r"(?P<before>[a-z]+?)(?P<last>train(?:ing)?|test(?:ing)?|valid(?:ation)?|val|eval)"
)
_BOTH = re.compile(rf"(?:{_any(BOTH)})(?:{_GAP}*\d+)?")


def words(name: str) -> list[str]:
    """The words of a name, without case: those of trainSet_10k are train, set, 10 and k."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name[:LONGEST])
    return re.findall(r"\d+|[^\s\d_.,+()\[\]-]+", folded(apart))


def parted(name: str) -> tuple[list[str], list[str]]:
    """The splits that words of a name say, and its other words: (train,), (other, 500)."""
    kinds, others = [], []
    for word in words(name):
        kind = None if word.isdecimal() else split_of(word)
        (kinds if kind else others).append(kind or word)
    return kinds, others


def glued(name: str) -> tuple[str, str] | None:
    """(its split, its other letters) of a name of one word such as trainfoo or mytest."""
    found = _GLUED.fullmatch(folded(name)[:LONGEST])
    if not found:
        return None
    word = found["first"] or found["last"]
    return split_of(word) or word, found["behind"] or found["before"]


def qualified(name: str) -> str | None:
    """The split of a name that has a word for one, and else what tells several of them apart.

    So train-other-500 and test_public are known; train-station has a word for something else.
    """
    if _BOTH.fullmatch(folded(name)[:LONGEST]):
        return "train"
    kinds, others = parted(name)
    if len(name) > LONGEST or kinds not in (
        ["train"],
        ["test"],
        ["val"],
        ["test", "val"],
    ):  # COCO's test-dev
        return None
    return kinds[0] if all(map(_QUALIFIER.fullmatch, others)) else None


def is_round(name: str) -> bool:
    """Whether a name may be that of a piece of a split, as part_1 is, and of a class as well."""
    return bool(_ROUND.fullmatch(folded(name)[:LONGEST]))


def is_piece(name: str) -> bool:
    """Whether a name is that of a piece of a split, such as a fold of a cross-validation."""
    return len(plain := folded(name)) <= LONGEST and bool(_PIECE.fullmatch(plain))


def split_of(name: str) -> str | None:
    """The split that a name looks like: "train", "test", "val", or None."""
    if len(plain := folded(name)) > LONGEST:
        return None
    return next((kind for kind, shape in _SHAPES.items() if shape.fullmatch(plain)), None)
