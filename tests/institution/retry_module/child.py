"""Loads PKCS#11 modules so that the caller need not: one job as JSON on stdin, then exit.

A loaded module stays loaded, and python-pkcs11 initialises without locking, so no test and no
demo loads one itself. PINs come by stdin, which no other user of the machine can read. Answers
go to stdout, one JSON value a line and at once, so that what was reached before a kill is known.

The PIN functions are called through ctypes: python-pkcs11 has no C_InitToken and no login or
logout of its own, and names only some of the answers. Keys are made through python-pkcs11.

Run by its path, alone: it imports nothing of the project.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

Job = dict[str, Any]

ULONG = ctypes.c_ulong
OK = 0
NAMES = {
    0x00: "CKR_OK",
    0x03: "CKR_SLOT_ID_INVALID",
    0x05: "CKR_GENERAL_ERROR",
    0x06: "CKR_FUNCTION_FAILED",
    0x07: "CKR_ARGUMENTS_BAD",
    0x30: "CKR_DEVICE_ERROR",
    0x31: "CKR_DEVICE_MEMORY",
    0x32: "CKR_DEVICE_REMOVED",
    0x54: "CKR_FUNCTION_NOT_SUPPORTED",
    0x91: "CKR_OPERATION_NOT_INITIALIZED",
    0xA0: "CKR_PIN_INCORRECT",
    0xA1: "CKR_PIN_INVALID",
    0xA2: "CKR_PIN_LEN_RANGE",
    0xA4: "CKR_PIN_LOCKED",
    0xB3: "CKR_SESSION_HANDLE_INVALID",
    0xB5: "CKR_SESSION_READ_ONLY",
    0xB6: "CKR_SESSION_EXISTS",
    0xB8: "CKR_SESSION_READ_ONLY_EXISTS",
    0xE0: "CKR_TOKEN_NOT_PRESENT",
    0xE1: "CKR_TOKEN_NOT_RECOGNIZED",
    0x100: "CKR_USER_ALREADY_LOGGED_IN",
    0x101: "CKR_USER_NOT_LOGGED_IN",
    0x102: "CKR_USER_PIN_NOT_INITIALIZED",
    0x103: "CKR_USER_TYPE_INVALID",
    0x104: "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
    0x190: "CKR_CRYPTOKI_NOT_INITIALIZED",
}
USERS = {"so": 0, "user": 1, "context": 2}
RW_SESSION = 0x2 | 0x4
TOKEN_INITIALIZED = 1 << 10
FLAGS = {
    1 << 3: "USER_PIN_INITIALIZED",
    1 << 16: "USER_PIN_COUNT_LOW",
    1 << 17: "USER_PIN_FINAL_TRY",
    1 << 18: "USER_PIN_LOCKED",
    1 << 20: "SO_PIN_COUNT_LOW",
    1 << 21: "SO_PIN_FINAL_TRY",
    1 << 22: "SO_PIN_LOCKED",
}
FUNCTIONS = """C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo
    C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN
    C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo C_GetOperationState
    C_SetOperationState C_Login C_Logout""".split()


class FunctionList(ctypes.Structure):
    """The head of CK_FUNCTION_LIST, as far as it is called here."""

    _fields_ = [("version", ctypes.c_ubyte * 2)] + [(name, ctypes.c_void_p) for name in FUNCTIONS]


class TokenInfo(ctypes.Structure):
    """CK_TOKEN_INFO."""

    _fields_ = [
        ("label", ctypes.c_char * 32),
        ("manufacturer", ctypes.c_char * 32),
        ("model", ctypes.c_char * 16),
        ("serial", ctypes.c_char * 16),
        ("flags", ULONG),
        ("numbers", ULONG * 10),
        ("versions", ctypes.c_ubyte * 4),
        ("time", ctypes.c_char * 16),
    ]


class Refused(Exception):
    """The module answered something else than CKR_OK where the job cannot go on."""


class Module:
    """One initialised PKCS#11 module."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        self._list = ctypes.POINTER(FunctionList)()
        if library.C_GetFunctionList(ctypes.byref(self._list)) != OK:
            raise Refused(f"{path} gives no function list")
        self.must("C_Initialize", None)

    def call(self, name: str, *arguments: Any) -> int:
        """Call one function; integers go as CK_ULONG, bytes as a pointer and a length.

        Parameters: name -- one of FUNCTIONS; arguments -- in order, without lengths.
        Returns: the CKR code.
        """
        flat: list[Any] = []
        for each in arguments:
            if isinstance(each, bytes):
                flat += [ctypes.c_char_p(each), ULONG(len(each))]
            else:
                flat.append(ULONG(each) if isinstance(each, int) else each)
        function = ctypes.CFUNCTYPE(ULONG)(getattr(self._list.contents, name))
        return int(function(*flat))

    def must(self, name: str, *arguments: Any) -> None:
        """Call one function that has to succeed. Errors: Refused."""
        code = self.call(name, *arguments)
        if code != OK:
            raise Refused(f"{name}: {name_of(code)}")

    def tokens(self) -> dict[int, TokenInfo]:
        """Returns: what C_GetTokenInfo says now, by slot."""
        count = ULONG(0)
        self.must("C_GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(count))
        slots = (ULONG * count.value)()
        self.must("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
        found = {}
        for slot in slots[: count.value]:
            info = TokenInfo()
            self.must("C_GetTokenInfo", int(slot), ctypes.byref(info))
            found[int(slot)] = info
        return found

    def slot_of(self, serial: str) -> int:
        """Returns: the slot of an initialised token. Errors: Refused if it is not there."""
        for slot, info in self.tokens().items():
            if info.flags & TOKEN_INITIALIZED and serial_of(info) == serial:
                return slot
        raise Refused(f"no token {serial}")


class Conversation:
    """One read-write session, in which a list of steps is carried out."""

    def __init__(self, module: Module, serial: str) -> None:
        self.module = module
        self.slot = module.slot_of(serial)
        self.session = ULONG()
        module.must("C_OpenSession", self.slot, RW_SESSION, None, None, ctypes.byref(self.session))

    def step(self, verb: str, *words: str) -> str:
        """Carry out ("login", user, pin), ("logout",), ("init_pin", pin), ("set_pin", old, new),
        ("init_token", so_pin, label), ("flags",) or ("wait_for", path of a file).

        Returns: the CKR name; for flags the names of those that are set, with blanks between.
        """
        session, call = self.session.value, self.module.call
        secrets = [word.encode() for word in words]
        if verb == "flags":
            info = TokenInfo()
            self.module.must("C_GetTokenInfo", self.slot, ctypes.byref(info))
            return " ".join(name for bit, name in FLAGS.items() if info.flags & bit)
        if verb == "wait_for":
            while not Path(words[0]).exists():
                time.sleep(0.01)
            return "there"
        if verb == "login":
            return name_of(call("C_Login", session, USERS[words[0]], secrets[1]))
        if verb == "logout":
            return name_of(call("C_Logout", session))
        if verb == "init_pin":
            return name_of(call("C_InitPIN", session, secrets[0]))
        if verb == "set_pin":
            return name_of(call("C_SetPIN", session, *secrets))
        if verb == "init_token":  # a token with a session open cannot be initialised
            self.module.must("C_CloseSession", session)
            label = ctypes.c_char_p(secrets[1].ljust(32))
            return name_of(call("C_InitToken", self.slot, secrets[0], label))
        raise ValueError(verb)


def name_of(code: int) -> str:
    """Returns: the name of a CKR code, or its number where it has none here."""
    return NAMES.get(code, f"{code:#x}")


def serial_of(info: TokenInfo) -> str:
    """Returns: the serial without its padding."""
    return bytes(info.serial).decode().rstrip()


def init_token(job: Job) -> str:
    """Initialise a free slot and set the user PIN. Returns: the new token's serial."""
    module = Module(job["module"])
    before = module.tokens()
    free = [slot for slot, info in before.items() if not info.flags & TOKEN_INITIALIZED]
    label = ctypes.c_char_p(job["label"].encode().ljust(32))
    module.must("C_InitToken", free[0], job["so_pin"].encode(), label)
    known = {serial_of(info) for info in before.values()}
    (serial,) = {
        serial_of(info) for info in module.tokens().values() if info.flags & TOKEN_INITIALIZED
    } - known
    steps = [("login", "so", job["so_pin"]), ("init_pin", job["user_pin"]), ("logout",)]
    conversation = Conversation(module, serial)
    for step in steps:
        answer = conversation.step(*step)
        if answer != "CKR_OK":
            raise Refused(f"{step[0]}: {answer}")
    module.must("C_Finalize", None)
    return serial


def carry_out(job: Job) -> None:
    """Carry out the steps of each part in turn, with the modules of all parts initialised first;
    print an answer for each step."""
    modules = {
        path: Module(path) for path in dict.fromkeys(part["module"] for part in job["parts"])
    }
    talks = [(Conversation(modules[p["module"]], p["serial"]), p["steps"]) for p in job["parts"]]
    for conversation, steps in talks:
        for step in steps:
            answer(conversation.step(*step))
    for module in modules.values():
        module.must("C_Finalize", None)


def token_of(job: Job) -> Any:
    """Returns: the token of a job. An empty slot may show the same serial."""
    import pkcs11

    (token,) = pkcs11.lib(job["module"]).get_tokens(
        token_serial=job["serial"].encode(), token_flags=pkcs11.TokenFlag.TOKEN_INITIALIZED
    )
    return token


def make_key(job: Job) -> str:
    """Generate a key pair on the token. Returns: the public key, SPKI DER in hex."""
    import pkcs11
    from asn1crypto.keys import PublicKeyInfo, RSAPublicKey
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
    from pkcs11.util.rsa import encode_rsa_public_key

    private = {
        pkcs11.Attribute.PRIVATE: True,
        pkcs11.Attribute.SENSITIVE: True,
        pkcs11.Attribute.EXTRACTABLE: False,
    }
    names = {"id": bytes.fromhex(job["key_id"]), "label": job["label"], "store": True}
    token = token_of(job)
    with token.open(rw=True, user_pin=job["user_pin"]) as session:
        if job["kind"] == "p256":
            curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
            parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
            public, _ = parameters.generate_keypair(private_template=private, **names)
            return encode_ec_public_key(public).hex()
        public, _ = session.generate_keypair(
            pkcs11.KeyType.RSA, int(job["kind"][3:]), private_template=private, **names
        )
        key = RSAPublicKey.load(encode_rsa_public_key(public))
        return str(PublicKeyInfo.wrap(key, "rsa").dump().hex())


def store_certificate(job: Job) -> str:
    """Store a certificate under a key's id. Returns: the empty text."""
    import pkcs11
    from pkcs11.util.x509 import decode_x509_certificate

    attributes = decode_x509_certificate(bytes.fromhex(job["certificate"]))
    attributes[pkcs11.Attribute.ID] = bytes.fromhex(job["key_id"])
    attributes[pkcs11.Attribute.LABEL] = job["label"]
    attributes[pkcs11.Attribute.TOKEN] = True
    attributes[pkcs11.Attribute.PRIVATE] = False  # readable without a login, as on a real token
    token = token_of(job)
    with token.open(rw=True, user_pin=job["user_pin"]) as session:
        session.create_object(attributes)
    return ""


def answer(value: str) -> None:
    """Print one answer where the parent reads it, now."""
    print(json.dumps(value), flush=True)


def main() -> int:
    """Do the one job on stdin. Returns: 0, or 1 with one line on stderr when it was refused."""
    job: Job = json.load(sys.stdin)
    jobs = {"init_token": init_token, "make_key": make_key, "store_certificate": store_certificate}
    try:
        if job["do"] == "carry_out":
            carry_out(job)
        else:
            answer(jobs[job["do"]](job))
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
