"""Reading part by part gives what reading at once gives."""

import subprocess

import numpy as np
import pytest
import soundfile

from skavsc.exceptions import DamagedMediaWarning, MediaError, MissingTrackError
from skavsc.media import read_frames, read_sound, stream_frames, stream_sound, write_clip


@pytest.fixture(scope="module")
def recording(tmp_path_factory, make_tones):
    """Six seconds of noise and tones."""
    frames = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("stream") / "recording.mp4"
    return write_clip(path, frames, 10, sound=make_tones(6.0))


def converted(path, ending, *options):
    target = path.with_suffix(ending)
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(path), *options, str(target)]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("needs the ffmpeg command")
    return target


def check_sound(path, **kwargs):
    expected, rate = read_sound(path, **kwargs)
    parts = list(stream_sound(path, **kwargs))
    assert len(parts) > 1
    assert {part_rate for _, part_rate in parts} == {rate}
    assert np.array_equal(np.concatenate([part for part, _ in parts], axis=1), expected)


def check_frames(path, fps):
    expected = read_frames(path, fps=fps, size=32)
    assert np.array_equal(np.stack(list(stream_frames(path, fps=fps, size=32))), expected)


def test_mp4(recording):
    check_sound(recording)
    for fps in (1, 7, 30):
        check_frames(recording, fps)


@pytest.mark.parametrize(
    ("ending", "options"),
    [(".avi", ["-c:v", "mpeg4", "-bf", "2"]), (".mkv", []), (".ts", [])],
)
def test_other_containers(recording, ending, options):
    # AVI gives decoding times alone.
    path = converted(recording, ending, *options)
    check_sound(path)
    check_frames(path, 3)


def test_joined_files(recording, tmp_path):
    part = converted(recording, ".part.ts").read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    check_sound(path)
    check_frames(path, 3)


def test_many_channels_are_mixed(tmp_path, make_tones):
    path = converted(
        write_clip(tmp_path / "a.mkv", sound=make_tones(3.0, channels=6), sound_codec="flac"),
        ".mka",
        *("-c:a", "flac"),
    )
    check_sound(path)
    check_sound(path, downmix=True)


def test_plain_sound_files(tmp_path, make_tones):
    soundfile.write(tmp_path / "a.wav", make_tones(30.0).T, 48_000, subtype="PCM_24")
    check_sound(tmp_path / "a.wav")


def test_a_track_that_is_not_there(video_path, wav_path):
    with pytest.raises(MissingTrackError, match="read sound: the file has no sound track"):
        next(stream_sound(video_path))
    with pytest.raises(MissingTrackError, match="no sound track"):
        read_sound(video_path)
    for reader in (read_frames, lambda path: next(stream_frames(path))):
        with pytest.raises(MissingTrackError, match="read picture: the file has no video stream"):
            reader(wav_path)


def test_wrong_files_and_parameters(tmp_path, recording):
    (tmp_path / "text.mp4").write_text("no video")
    for stream in (stream_sound, stream_frames):
        with pytest.raises(MediaError, match="there is no such file"):
            next(stream(tmp_path / "gone.mp4"))
        with pytest.raises(MediaError, match="not a"):
            next(stream(tmp_path / "text.mp4"))
    with pytest.raises(ValueError, match="fps=0 must be greater than 0"):
        next(stream_frames(recording, fps=0))
    with pytest.raises(ValueError, match="max_gap=None must be greater than 0"):
        next(stream_sound(recording, max_gap=None))


def test_a_file_that_is_cut_off(recording, tmp_path):
    path = converted(recording, ".mkv")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    for stream in (stream_sound, stream_frames):
        with pytest.warns(DamagedMediaWarning, match="cut off"):
            assert len(list(stream(cut))) > 1


def test_what_is_read_can_be_given_up(recording):
    frames = stream_frames(recording, fps=10)
    assert next(frames).shape == (48, 64, 3)
    frames.close()
