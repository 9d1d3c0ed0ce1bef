"""A run starts, or is refused before anything compiles; runs are in training/session_test."""

from tests.commands.starts import refused


def test_a_wrong_start_is_one_sentence(tmp_path):
    assert "want --distributed" in refused(
        "pretrain", "--processes=2 --config=digit_scenes/mae --workdir={tmp}/x", tmp_path
    )


def test_a_folder_and_a_config_are_two_wishes(tmp_path):
    both = refused("pretrain", "photos --config=digit_scenes/mae --workdir={tmp}/x", tmp_path)
    assert "give one of the two" in both


def test_a_flag_that_there_is_not_is_refused_before_a_folder_is_looked_at(tmp_path):
    # The folder is not there, which would be said first if anybody looked.
    told = refused("pretrain", "{tmp}/photos --methd=dino --workdir={tmp}/x", tmp_path)
    assert "Unknown command line flag 'methd'. Did you mean: method" in told


def test_a_work_directory_that_is_not_there_is_not_gone_on_with(tmp_path):
    told = refused("pretrain", "--workdir={tmp}/runs", tmp_path)
    assert f"there is no run in '{tmp_path}/runs' to go on with" in told
    told = refused("pretrain", "--workdir={tmp}/runs --resume_with batch=4", tmp_path)
    assert "a new one is of a folder, m3i pretrain FOLDER, or of a config, --config" in told


def test_a_run_of_nothing_is_asked_what_it_is_of(tmp_path):
    assert "of which images? m3i pretrain FOLDER makes a config" in refused(
        "pretrain", "", tmp_path
    )
