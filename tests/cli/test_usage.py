"""How the command starts, and how it ends: exit status and messages."""

import signal
import subprocess
import sys

import pytest

import skavsc
from skavsc.cli import main


def test_importing_loads_nothing_heavy():
    """Nor does naming a transformer or an estimator, beyond what it stands on."""
    code = (
        "import sys, skavsc, skavsc.cli\n"
        "heavy = {'keras', 'tensorflow', 'cv2', 'librosa', 'matplotlib'}\n"
        "all_of_them = heavy | {'av', 'sklearn', 'numba', 'pandas'}\n"
        "print(sorted(all_of_them & set(sys.modules)))\n"
        "assert skavsc.cli.main(['--help']) == 0\n"
        "print(sorted(all_of_them & set(sys.modules)))\n"
        "from skavsc.audio import GammatoneMelTransformer\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "skavsc.SECRNNClassifier()\n"
        "print('keras' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, *_, with_help, with_transformer, keras = run.stdout.splitlines()
    assert first == with_help == with_transformer == "[]"
    assert keras == "False"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"skavsc {skavsc.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dance"], "No such command 'dance'"),
        (["train", "gone", "-o", "m"], "'gone' does not exist"),
        (["train", "."], "Missing option '-o'"),
        (["train", ".", "-o", "gone/model.skops"], "there is no folder"),
        (["train", ".", "-o", "m", "--folds", "1"], "1 is not in the range x>=2"),
        (["train", ".", "-o", "m", "--duration", "-1"], "-1.0 is not in the range x>0"),
        (["train", ".", "-o", "m", "--recipe", "cake"], "'cake' is not one of"),
        (["train", ".", "-o", "m", "--groups", "("], "'(' is no regular expression"),
        (["demo", "--weights", "file.h5"], "add --full"),
        (["demo", "--audio-model", "yamnet"], "--audio-model and --image-model both"),
        (["demo", "--audio-model", "a", "--image-model", "b", "--full"], "leave the frozen ones"),
        (["predict", "gone.skops", "a.mp4"], "'gone.skops' does not exist"),
        (["predict", __file__], "Missing argument 'FILES...'"),
        (["predict", __file__, "gone.mp4"], "the file 'gone.mp4' does not exist"),
        (["predict", __file__, "."], "the file '.' is a folder"),
        (["predict", __file__, __file__, "--edl", "a.edl"], "add --timeline"),
        (["predict", __file__, "a", "b", "--timeline", "--edl", "a.edl"], "for one file, of 2"),
        (["predict", __file__, __file__, "--timeline", "--hop", "0"], "0.0 is not in the range"),
        (["complexity"], "either a model file or --recipe published"),
        (["complexity", __file__, "--recipe", "published"], "either a model file or"),
        (["evaluate", __file__, "gone"], "'gone' does not exist"),
    ],
)
def test_wrong_usage_ends_with_2(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_failures_end_with_1_and_name_the_cause(tmp_path, capsys):
    (tmp_path / "park").mkdir()
    (tmp_path / "park" / "notes.txt").write_text("no clips here")
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "model.skops")]) == 1
    assert "Error:" in capsys.readouterr().err
    assert not (tmp_path / "model.skops").exists()


def test_ctrl_c_ends_cleanly(folder):
    # What starts in the background, and with it these tests, may be deaf to Ctrl-C.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from skavsc.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["train", "own", "-o", "never.skops", "--groups", "^(.*)_", "--duration", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as run:
        while not run.stderr.readline().startswith("Recipe"):
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 130
    assert rest.splitlines()[-1] == "interrupted"
    assert "Traceback" not in rest
    assert not (folder / "never.skops").exists()


def test_whoever_reads_the_output_may_stop(folder):
    code = "import sys; from skavsc.cli import main; sys.exit(main(sys.argv[1:]))"
    command = f"{sys.executable} -c '{code}' models list; echo $? >&2"
    run = subprocess.run(
        ["bash", "-c", f"({command}) | head -1"], capture_output=True, text=True, check=True
    )
    assert run.stdout == "name,modality,licence,file,source\n"
    assert run.stderr == "0\n"


def test_the_program_ends_without_a_look_for_garbage(run_fresh):
    run_fresh(
        "import gc, sys\n"
        "from skavsc.cli import program\n"
        "sys.argv = ['skavsc', '--version']\n"
        "assert program() == 0\n"
        "assert gc.get_freeze_count() > 1000\n"
        "sys.argv = ['skavsc', 'dance']\n"
        "assert program() == 2\n"
    )


def test_completion_of_the_shell(monkeypatch, capsys):
    monkeypatch.setenv("_SKAVSC_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("COMP_WORDS", "skavsc pre")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == "plain,predict\n"
