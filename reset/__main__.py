"""``token-reset``, which says so where the wheel was installed for the helper alone."""

from __future__ import annotations

import sys


def main() -> int:
    """Run one command; the exit code."""
    try:
        from reset import cli
    except ModuleNotFoundError as missing:
        if not missing.name or missing.name.partition(".")[0] in ("reset", "pkcs11_driver"):
            raise
        needed = "install the server's requirements: pip install 'token-reset[server]'"
        print(f"token-reset: {missing.name} is missing; {needed}", file=sys.stderr)  # noqa: T201
        return 1
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
