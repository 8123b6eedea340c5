"""``python -m pkcs11_driver.helper``: the same as ``token-helper``."""

import sys

from pkcs11_driver.helper.cli import main

sys.exit(main())
