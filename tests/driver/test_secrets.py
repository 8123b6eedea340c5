"""No PIN is in a result, an exception or a traceback (design section 1, promise 1)."""

from __future__ import annotations

import pytest

from pkcs11_driver import errors, operations
from tests.driver import children
from tests.driver.conftest import NEW_PIN, NEXT_SO_PIN, OTHER_SO_PIN, SECRETS, Holder, order
from tests.institution.tokens import arm_fault


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        (None, {}),
        (None, {"candidates": (OTHER_SO_PIN, NEXT_SO_PIN)}),
        (None, {"style": "puk_set_pin"}),
        (None, {"new_user_pin": f"{NEW_PIN}\udcff"}),
        ("before Login 1 return 0x5", {}),
        ("after InitPIN 1 return 0x30", {}),
        ("before InitPIN 1 return 0xA2", {}),
        ("before Login 2 return 0xA0", {}),
        ("after SetPIN 1 return 0x6", {}),
    ],
)
def test_none_in_any_text(holder: Holder, fault: str | None, changed: dict[str, object]) -> None:
    if fault is not None:
        arm_fault(holder.made, fault)
    ran = children.run(operations.reset_user_pin, *holder.at, **order(**changed))
    texts = [repr(ran), str(ran.error), repr(ran.error), ran.trace]
    failure = ran.error or ran.value.error
    if failure is not None:
        assert isinstance(failure, errors.DriverError)
        texts += [repr(failure.data), errors.sentence(failure)]
    for text in texts:
        assert not [secret for secret in SECRETS if secret in text]
