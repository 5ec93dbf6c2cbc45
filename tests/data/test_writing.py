from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from fosa_sem.data.writing import atomic_path, atomic_write_text
from fosa_sem.errors import OptionError


def test_text_is_written_as_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "a.html", "Σ = 1\nμ\n")
    assert (tmp_path / "a.html").read_bytes() == "Σ = 1\nμ\n".encode()
    atomic_write_text(str(tmp_path / "a.html"), "second")
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    assert (tmp_path / "a.html").read_text() == "second"


def test_temporary_file_has_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "figure.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path.resolve()
        assert not (tmp_path / "figure.png").exists()
        temporary.write_bytes(b"x")
    assert (tmp_path / "figure.png").read_bytes() == b"x"


@pytest.mark.parametrize("error", [ValueError("stop"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file_and_nothing_else(error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OptionError, match=r"cannot write .*a\.txt: No space left") as caught:
        write()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_unusable_targets(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    cases = {
        tmp_path: "is a folder",
        tmp_path / "absent" / "a.txt": r"the folder .*absent does not exist; create it first",
        tmp_path / "file" / "a.txt": "does not exist",
        Path("/dev/null"): "not an ordinary file",
        tmp_path / "nul\0": "not a usable path",
        tmp_path / ("n" * 300): "cannot write",
    }
    for path, message in cases.items():
        with pytest.raises(OptionError, match=message):
            atomic_write_text(path, "text")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for name in ("a.txt", "new.txt"):
        with pytest.raises(OptionError, match="no permission"):
            atomic_write_text(tmp_path / name, "text")
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    atomic_write_text(target, "one")
    usual = tmp_path / "usual"
    usual.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    target.chmod(0o640)
    (tmp_path / "link.txt").symlink_to(target)
    atomic_write_text(tmp_path / "link.txt", "two")
    assert (tmp_path / "link.txt").is_symlink()
    assert target.read_text() == "two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be replaced on Windows")
def test_who_is_reading_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with target.open() as reader:
        atomic_write_text(target, "new")
        assert reader.read() == "old"
    assert target.read_text() == "new"
