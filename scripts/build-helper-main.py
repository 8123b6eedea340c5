"""What the one-file build starts: the window where it is named so, or came by a desktop."""

import sys
from pathlib import Path

from pkcs11_driver.helper.cli import main, window

sys.exit(window() if Path(sys.executable).stem.endswith("window") else main())
