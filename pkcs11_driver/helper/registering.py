"""Make this program the one that opens ``token-reset://`` links, for this person, on three systems.

Linux: a desktop entry and the person's default for the scheme (XDG). Windows: keys below
``HKEY_CURRENT_USER\\Software\\Classes``. macOS: an application with the scheme in its Info.plist;
the one-file build has it, so there the application is only made known. Nothing needs rights of
an administrator, and ``unregister`` removes what ``register`` wrote.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

from pkcs11_driver.helper.dialogue import Refused
from pkcs11_driver.helper.language import say
from pkcs11_driver.helper.link import SCHEME

_TYPE = f"x-scheme-handler/{SCHEME}"
_ENTRY = "token-helper.desktop"
_CLASSES = rf"Software\Classes\{SCHEME}"
_LSREGISTER = (
    "/System/Library/Frameworks/CoreServices.framework/Frameworks/LaunchServices.framework"
    "/Support/lsregister"
)


class Registry(typing.Protocol):
    """The two calls on the Windows registry that are needed, below HKEY_CURRENT_USER."""

    def write(self, key: str, name: str, value: str) -> None:
        """Set one text value, making the key."""

    def remove(self, key: str) -> None:
        """Remove a key without sub-keys; one that is not there is fine."""


def command(server: str = "", ca: str = "") -> list[str]:
    """How a browser starts this program; the link follows as the last argument.

    ``--`` stands before it, so that no link can be an option.
    """
    if getattr(sys, "frozen", False):
        program = [sys.executable]
    else:
        program = [sys.executable, "-I", "-m", "pkcs11_driver.helper"]
    chosen = [*(["--server", server] if server else []), *(["--ca", ca] if ca else [])]
    return [*program, "--window", *chosen, "--"]


def register(server: str = "", ca: str = "") -> str:
    """Open links with this program from now on. Returns what was done; raises ``Refused``."""
    start = command(server, str(Path(ca).absolute()) if ca else "")
    if sys.platform == "win32":
        write_keys(_winreg(), start)
        return say("Links are opened by this program now: {place}", place=f"HKCU\\{_CLASSES}")
    if sys.platform == "darwin":
        return _register_mac()
    return _register_linux(start)


def unregister() -> str:
    """Take back what ``register`` did. Returns what was done."""
    if sys.platform == "win32":
        remove_keys(_winreg())
    elif sys.platform == "darwin":
        _lsregister("-u")
    else:
        _unregister_linux()
    return say("Links are not opened by this program any more.")


# --- Linux -------------------------------------------------------------------------
def desktop_entry(start: Sequence[str]) -> str:
    """The desktop entry (Desktop Entry Specification 1.5)."""
    return "\n".join(
        (
            *("[Desktop Entry]", "Type=Application", "Name=Token helper", "Name[de]=Token-Helfer"),
            "Comment=Set a new PIN for a blocked token",
            "Comment[de]=Eine neue PIN für ein gesperrtes Token setzen",
            f"Exec={' '.join(map(_quoted, start))} %u",
            *("Terminal=false", "StartupNotify=false", "NoDisplay=true"),
            *("Categories=Utility;Security;", f"MimeType={_TYPE};", ""),
        )
    )


def _quoted(argument: str) -> str:
    # two layers: the string escapes of the file, inside the quotes of Exec
    for special in ("\\", '"', "`", "$"):
        argument = argument.replace(special, "\\" + special)
    return '"' + argument.replace("\\", "\\\\").replace("%", "%%") + '"'


def _register_linux(start: Sequence[str]) -> str:
    if any(ord(character) < 32 for part in start for character in part):
        raise Refused(say("The path of this program cannot stand in a desktop entry."))
    entry = _data_home() / "applications" / _ENTRY
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(desktop_entry(start), encoding="utf-8")
    _run("update-desktop-database", str(entry.parent))
    if not _run("xdg-mime", "default", _ENTRY, _TYPE):
        raise Refused(
            say("The program xdg-mime is missing or failed. Install the package xdg-utils.")
        )
    return say("Links are opened by this program now: {place}", place=entry)


def _unregister_linux() -> None:
    entry = _data_home() / "applications" / _ENTRY
    entry.unlink(missing_ok=True)
    _run("update-desktop-database", str(entry.parent))
    defaults = (
        _home("XDG_CONFIG_HOME", ".config") / "mimeapps.list",
        _data_home() / "applications" / "mimeapps.list",
    )
    for file in defaults:
        if file.is_file():
            kept = [line for line in file.read_text().splitlines(True) if not _ours(line)]
            file.write_text("".join(kept))


def _ours(line: str) -> bool:
    name, _, value = line.strip().partition("=")
    return name == _TYPE and value.rstrip(";") == _ENTRY


def _data_home() -> Path:
    return _home("XDG_DATA_HOME", ".local/share")


def _home(variable: str, usual: str) -> Path:
    given = os.environ.get(variable, "")
    # the specification ignores relative ones
    return Path(given) if os.path.isabs(given) else Path.home() / usual


def _run(program: str, *arguments: str) -> bool:
    found = shutil.which(program)
    if found is None:
        return False
    done = subprocess.run(  # noqa: S603 - no shell, fixed programs
        [found, *arguments], capture_output=True, check=False, timeout=30
    )
    return done.returncode == 0


# --- Windows -----------------------------------------------------------------------
def write_keys(registry: Registry, start: Sequence[str]) -> None:
    """Write the keys of a URL scheme (Microsoft, "Registering an Application to a URI Scheme")."""
    line = subprocess.list2cmdline(start)
    registry.write(_CLASSES, "", "URL:Token reset")
    registry.write(_CLASSES, "URL Protocol", "")
    registry.write(rf"{_CLASSES}\shell\open\command", "", f'{line} "%1"')


def remove_keys(registry: Registry) -> None:
    """Remove them, the innermost first."""
    for below in (r"\shell\open\command", r"\shell\open", r"\shell", ""):
        registry.remove(_CLASSES + below)


def _winreg() -> Registry:
    import winreg

    class Ours:
        def write(self, key: str, name: str, value: str) -> None:
            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, key) as opened:  # type: ignore[attr-defined]
                winreg.SetValueEx(opened, name, 0, winreg.REG_SZ, value)  # type: ignore[attr-defined]

        def remove(self, key: str) -> None:
            try:
                winreg.DeleteKey(winreg.HKEY_CURRENT_USER, key)  # type: ignore[attr-defined]
            except FileNotFoundError:
                return

    return Ours()


# --- macOS -------------------------------------------------------------------------
def info_plist(version: str) -> dict[str, object]:
    """What the application's Info.plist says beyond the usual; the build recipe uses it too."""
    return {
        "CFBundleIdentifier": "org.token-reset.helper",
        "CFBundleName": "Token helper",
        "CFBundleShortVersionString": version,
        "CFBundleURLTypes": [{"CFBundleURLName": "Token reset", "CFBundleURLSchemes": [SCHEME]}],
        "NSHighResolutionCapable": True,
    }


def _register_mac() -> str:
    if not _lsregister("-f"):
        raise Refused(
            say("On macOS only the application can open links. Install Token Helper.app.")
        )
    return say("Links are opened by this program now: {place}", place=_bundle())


def _lsregister(option: str) -> bool:
    bundle = _bundle()
    return bundle is not None and _run(_LSREGISTER, option, str(bundle))


def _bundle() -> Path | None:
    parents = Path(sys.executable).resolve().parents
    return next((folder for folder in parents if folder.suffix == ".app"), None)
