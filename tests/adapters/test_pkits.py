"""NIST PKITS through the path layer of the product: 223 certificates, made by others.

The path and revocation code is the one that runs in service, custodian and command line; only what
we demand of a person's certificate beyond RFC 5280 (UID, purposes) is left out, since these
certificates were not issued for it. Promise: none that PKITS calls invalid is accepted. Where we
refuse what PKITS calls valid, it stands in a table with its reason, and stops being true loudly.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cryptography_vectors
import pytest
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509

from reset.adapters.paths import PathValidator
from reset.adapters.trust import TrustStore
from reset.errors import CertificateRefused

DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
ANCHOR = DATA / "certs" / "TrustAnchorRootCertificate.crt"
AT = datetime(2011, 6, 1, tzinfo=UTC)  # PKITS counts from 2010 to 2030

# section, the names of its tests, how many there are, on how many we agree with PKITS, and how a
# refusal of what PKITS calls invalid may be called
PATH = {"chain", "trust-store"}
DATES = {"expired", "not-yet-valid"}
LISTS = {"revoked", "crl-missing", "crl-stale"}
SECTIONS: dict[str, tuple[str, int, int, set[str]]] = {
    "4.1 signatures": ("CertificatePath|CASig|EESig|DSA", 6, 4, PATH),
    "4.2 dates": ("notBeforeDate|notAfterDate", 8, 8, DATES),
    "4.3 names": ("NameChaining|NameUIDs|RFC3280|Rollover|UTF8String", 11, 11, {"chain"}),
    "4.4 lists": (
        "MissingCRL|Revoked|BadCRL|WrongCRL|TwoCRLs|UnknownCRL|CRLnextUpdate|SerialNumber|Separate",
        21,
        20,
        {*LISTS, "chain", "trust-store"},
    ),
    "4.5 self-issued": ("BasicSelfIssued", 8, 5, {*LISTS, "trust-store"}),
    "4.6 basic constraints": ("asicConstraints|cAFalse|pathLen", 17, 15, {"chain", "trust-store"}),
    "4.7 key usage": ("^(Inv|V)alidkeyUsage", 5, 5, {"chain", "crl-missing", "trust-store"}),
    "4.8 policies": ("PoliciesTest|PolicyTest(11|14)|Qualifier", 19, 19, {"chain"}),
    "4.9 explicit policy": ("equireExplicit", 8, 7, {"chain"}),
    "4.10 policy mapping": ("(?<!inhibit)PolicyMappingTest|Mapping(From|To)any", 14, 14, {"chain"}),
    "4.11 inhibited mapping": ("nhibitPolicyMapping", 11, 10, {"chain"}),
    "4.12 inhibited any-policy": ("nhibitAnyPolicy", 10, 8, {"chain"}),
    "4.13 name constraints": ("nameConstraints", 38, 37, {"chain"}),
    "4.14 distribution points": (
        "istributionPoint|only|IDPwith|cRLIssuer",
        35,
        23,
        {*LISTS, "trust-store"},
    ),
    "4.15 deltas": ("deltaCRL", 10, 8, LISTS),
    "4.16 private extensions": ("CertificateExtension", 2, 2, {"chain"}),
}

# names that do not say what PKITS expects with its default inputs
VALID = (
    "AllCertificatesNoPoliciesTest2 AllCertificatesSamePoliciesTest10 AnyPolicyTest14 "
    "AllCertificatesSamePoliciesTest13 AllCertificatesanyPolicyTest11 CPSPointerQualifierTest20 "
    "DifferentPoliciesTest3 OverlappingPoliciesTest6 UserNoticeQualifierTest15 "
    "UserNoticeQualifierTest16 UserNoticeQualifierTest17 UserNoticeQualifierTest18 "
    "UserNoticeQualifierTest19 inhibitAnyPolicyTest3"
).split()

DSA = "DSA keys are not accepted"
OTHER_KEY = "a list must be signed by the key that signed the certificate"
INDIRECT = "indirect lists are not supported"
RELATIVE = "names of distribution points relative to the issuer are not supported"
REASONS = "lists for some reasons only are not supported"
HOLD = "the end of a hold counts with the next complete list, not with a delta"
DEVIATIONS = {
    "ValidDSASignaturesTest4": DSA,
    "ValidDSAParameterInheritanceTest5": DSA,
    "ValidSeparateCertificateandCRLKeysTest19": OTHER_KEY,
    "ValidBasicSelfIssuedOldWithNewTest1": OTHER_KEY,
    "ValidBasicSelfIssuedNewWithOldTest4": OTHER_KEY,
    "ValidBasicSelfIssuedCRLSigningKeyTest6": OTHER_KEY,
    "ValidSelfIssuedpathLenConstraintTest15": OTHER_KEY,
    "ValidSelfIssuedpathLenConstraintTest17": OTHER_KEY,
    "ValidSelfIssuedrequireExplicitPolicyTest6": OTHER_KEY,
    "ValidSelfIssuedinhibitPolicyMappingTest7": OTHER_KEY,
    "ValidSelfIssuedinhibitAnyPolicyTest7": OTHER_KEY,
    "ValidSelfIssuedinhibitAnyPolicyTest9": OTHER_KEY,
    "ValidDNnameConstraintsTest19": OTHER_KEY,
    "ValiddistributionPointTest4": RELATIVE,
    "ValiddistributionPointTest5": RELATIVE,
    "ValiddistributionPointTest7": RELATIVE,
    "ValidonlySomeReasonsTest18": REASONS,
    "ValidonlySomeReasonsTest19": REASONS,
    "ValidIDPwithindirectCRLTest22": INDIRECT,
    "ValidIDPwithindirectCRLTest24": INDIRECT,
    "ValidIDPwithindirectCRLTest25": INDIRECT,
    "ValidcRLIssuerTest28": INDIRECT,
    "ValidcRLIssuerTest29": INDIRECT,
    "ValidcRLIssuerTest30": INDIRECT,
    "ValidcRLIssuerTest33": INDIRECT,
    "ValiddeltaCRLTest5": HOLD,
    "ValiddeltaCRLTest7": HOLD,
}

# tests of section 4.8 and 4.10 that PKITS also runs with one acceptable policy: test, its number
# in NIST's arc of test policies, and whether PKITS calls it valid
NIST_POLICY = "2.16.840.1.101.3.2.1.48."
POLICIES: tuple[tuple[str, int, bool], ...] = (
    ("ValidCertificatePathTest1", 1, True),
    ("ValidCertificatePathTest1", 2, False),
    ("AllCertificatesNoPoliciesTest2", 1, False),
    ("DifferentPoliciesTest3", 1, False),
    ("DifferentPoliciesTest3", 2, False),
    ("OverlappingPoliciesTest6", 1, True),
    ("OverlappingPoliciesTest6", 2, False),
    ("AllCertificatesSamePoliciesTest10", 1, True),
    ("AllCertificatesSamePoliciesTest10", 2, True),
    ("AllCertificatesanyPolicyTest11", 1, True),
    ("AllCertificatesSamePoliciesTest13", 1, True),
    ("AllCertificatesSamePoliciesTest13", 2, True),
    ("AllCertificatesSamePoliciesTest13", 3, True),
    ("AnyPolicyTest14", 1, True),
    ("AnyPolicyTest14", 2, False),
    ("ValidPolicyMappingTest1", 1, True),
    ("ValidPolicyMappingTest1", 2, False),
    ("ValidPolicyMappingTest3", 1, False),
    ("ValidPolicyMappingTest3", 2, True),
    ("ValidPolicyMappingTest5", 1, True),
    ("ValidPolicyMappingTest5", 6, False),
    ("ValidPolicyMappingTest6", 1, True),
    ("ValidPolicyMappingTest6", 6, False),
    ("ValidPolicyMappingTest12", 1, True),
    ("ValidPolicyMappingTest12", 2, True),
)
OWN = "the certificate itself names the policy: neither any-policy nor one that is mapped to it"
POLICY_DEVIATIONS = {
    ("AllCertificatesanyPolicyTest11", 1): OWN,
    ("ValidPolicyMappingTest1", 1): OWN,
    ("ValidPolicyMappingTest3", 2): OWN,
    ("ValidPolicyMappingTest5", 1): OWN,
    ("ValidPolicyMappingTest6", 1): OWN,
    ("ValidPolicyMappingTest12", 1): OWN,
    ("ValidPolicyMappingTest12", 2): OWN,
}


@dataclass(frozen=True)
class Names:
    """The name and key identifier of a certificate, and those of its issuer."""

    own: tuple[str, bytes | None]
    above: tuple[str, bytes | None]

    @classmethod
    def of(cls, path: Path) -> Names:
        found = asn1_x509.Certificate.load(path.read_bytes())
        return cls(
            (str(found.subject.hashable), found.key_identifier),
            (str(found.issuer.hashable), found.authority_key_identifier),
        )


class Pkits:
    """The files by what they say."""

    def __init__(self) -> None:
        self.tests: dict[str, Path] = {}
        self.issuers: dict[tuple[str, bytes | None], list[Path]] = defaultdict(list)
        self.lists: dict[str, list[Path]] = defaultdict(list)
        for path in sorted((DATA / "certs").glob("*.crt")):
            if path.stem.endswith("EE"):
                self.tests[path.stem.removesuffix("EE")] = path
            elif path != ANCHOR:
                self.issuers[Names.of(path).own].append(path)
        for path in sorted((DATA / "crls").glob("*.crl")):
            found = asn1_crl.CertificateList.load(path.read_bytes())
            self.lists[str(found.issuer.hashable)].append(path)

    def verdict(self, test: str, policy: str | None = None) -> str:
        """``good``, or the rule by which the certificate of a test is refused.

        The store holds every certificate above it, and every list of their names.
        """
        path = self.tests[test]
        wanted = [Names.of(path).above, Names.of(ANCHOR).own]
        between: list[Path] = []
        for above in wanted:
            for found in self.issuers[above]:
                between.append(found)
                if (next_one := Names.of(found).above) not in wanted:
                    wanted.append(next_one)
        lists = [crl for name in {name for name, _ in wanted} for crl in self.lists[name]]
        try:
            store = TrustStore([ANCHOR], lists, between)
            PathValidator(store, policy_oid=policy).validate(path.read_bytes(), AT)
        except CertificateRefused as refused:
            return str(refused.data["rule"])
        return "good"


PKITS = Pkits()


def section_of(test: str) -> str:
    [found] = [name for name, (names, *_) in SECTIONS.items() if re.search(names, test)]
    return found


def is_valid(test: str) -> bool:
    return test.startswith("Valid") or test in VALID


def test_all_tests_are_there() -> None:
    """Each in one section; 4.8.1 has no certificate of its own."""
    counts = Counter(section_of(test) for test in PKITS.tests)
    assert counts == {name: count for name, (_, count, _, _) in SECTIONS.items()}
    counts.subtract(section_of(test) for test in DEVIATIONS)
    assert counts == {name: agreed for name, (_, _, agreed, _) in SECTIONS.items()}
    assert (len(PKITS.tests), len(DEVIATIONS)) == (223, 27)
    assert {*VALID, *DEVIATIONS} <= set(PKITS.tests)


@pytest.mark.parametrize("test", PKITS.tests)
def test_verdict(test: str) -> None:
    verdict = PKITS.verdict(test)
    if is_valid(test) and test not in DEVIATIONS:
        assert verdict == "good"
    elif is_valid(test):
        assert verdict != "good", "no longer a deviation: take it off the table"
    else:
        assert verdict in SECTIONS[section_of(test)][3]


@pytest.mark.parametrize(("test", "policy", "valid"), POLICIES)
def test_verdict_with_a_policy_of_the_institution(test: str, policy: int, valid: bool) -> None:
    good = PKITS.verdict(test, f"{NIST_POLICY}{policy}") == "good"
    if (test, policy) in POLICY_DEVIATIONS:
        assert valid
        assert not good, "no longer a deviation: take it off the table"
    else:
        assert good == valid
