"""The predefined questions, each with the reasons for it (S1.41, S1.43).

Rules:

1. An id stands for one question for ever, because rows refer to it. A question that is no longer
   offered stays here with ``offered`` false, so that old profiles can still be asked.
2. A question asks for one thing, with one way to write it, that happened long ago: people forget
   favourites within months and change them.
3. It does not ask for what registers, genealogies or profiles on the web tell: birth, family,
   school, pets.
4. ``common``: the answers that a guesser tries first, refused at registration. ``guessing`` and
   ``recall``: what is known of the question, or that nobody has measured it.
5. A language is a column: another key in ``words`` of every question.

Sources: Bonneau, Bursztein, Caron, Jackson, Williamson, "Secrets, Lies, and Account Recovery",
WWW 2015 (measured at Google); Just, Aspinall, SOUPS 2009; Rabkin, SOUPS 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reset.core.normal_form import normalise

LANGUAGE = "en"


@dataclass(frozen=True)
class Question:
    """One predefined question; ``words`` by language, ``common`` in normal form."""

    words: Mapping[str, str]
    guessing: str
    recall: str
    common: frozenset[str] = frozenset()
    offered: bool = True

    @property
    def text(self) -> str:
        """The words in the language of the pages."""
        return self.words[LANGUAGE]


def _forms(answers: str) -> frozenset[str]:
    return frozenset(normalise(answer) for answer in answers.split(","))


_FAMILY_NAMES = _forms(
    "smith,jones,johnson,williams,brown,taylor,davis,miller,wilson,moore,anderson,thomas,martin,"
    "garcia,rodriguez,martinez,hernandez,lopez,gonzalez,perez,sanchez,muller,mueller,schmidt,"
    "schneider,fischer,weber,meyer,maier,wagner,becker,schulz,hoffmann,bernard,dubois,durand,"
    "rossi,russo,ferrari,bianchi,silva,santos,ferreira,novak,kowalski,nowak,ivanov,petrov,"
    "andersson,johansson,hansen,jensen,nielsen,yilmaz,nguyen,tran,kim,lee,park,choi,wang,zhang,"
    "chen,liu,huang,singh,kumar,sharma,patel,khan,ahmed,ali,mohammed,hussein,tanaka,sato,suzuki,"
    "陈,王,李,张,刘,김,이,박,佐藤,鈴木,高橋,田中"
)
_PLACES = _forms(
    "london,paris,rome,roma,berlin,madrid,barcelona,vienna,wien,amsterdam,prague,lisbon,athens,"
    "istanbul,dublin,moscow,munich,hamburg,milan,venice,florence,mallorca,majorca,ibiza,tenerife,"
    "gran canaria,crete,rhodes,corfu,cyprus,malta,antalya,new york,nyc,los angeles,chicago,miami,"
    "orlando,disneyland,disney world,las vegas,san francisco,washington,boston,hawaii,cancun,"
    "mexico,toronto,dubai,bangkok,singapore,hong kong,tokyo,osaka,seoul,beijing,shanghai,delhi,"
    "mumbai,sydney,cairo,spain,italy,france,germany,england,greece,turkey,portugal,usa,america,"
    "北京,上海,東京,서울"
)

CATALOGUE: Mapping[str, Question] = {
    "first-phone": Question(
        {"en": "What were the last six digits of the first telephone number you remember?"},
        "a million values, in no public register",
        "55 % still knew their first number (Bonneau 2015)",
    ),
    "childhood-street": Question(
        {"en": "What was the name of the street of your best childhood friend?"},
        "another person's home; not in the holder's own records",
        "not measured; a place, and places are remembered best (city of birth: 79 %)",
        _forms("main street,high street,church street,park street,station road,hauptstrasse"),
    ),
    "first-flight": Question(
        {"en": "Where did your first journey by plane or ship take you?"},
        "few places are many people's answer; the commonest are refused",
        "not measured; a single event and a place",
        _PLACES,
    ),
    "first-employer": Question(
        {"en": "What was the family name of the first person who paid you for work?"},
        "as family names are spread; the commonest are refused; seldom on the web",
        "not measured; a single event",
        _FAMILY_NAMES,
    ),
    "teacher-nickname": Question(
        {"en": "What nickname did you and your friends give a teacher?"},
        "free text of a small circle; the teacher's name itself falls to 10 guesses for 24 % "
        "(Arabic, Bonneau 2015)",
        "not measured; used daily for years",
        _forms("teacher,prof,professor,doc,boss,sir,miss"),
    ),
    "lost-thing": Question(
        {"en": "What thing that you lost as a child did you miss most?"},
        "toys that all have are refused; with a name or a colour it is wide",
        "not measured; one strong memory",
        _forms(
            "teddy,teddy bear,bear,doll,ball,toy,toys,car,toy car,blanket,bicycle,bike,watch,key,"
            "keys,money,ring,necklace,book,game boy,gameboy,phone,hat,cap,jacket,knife,cuddly toy,"
            "stuffed animal,kuscheltier,rabbit,bunny"
        ),
    ),
    "first-record": Question(
        {"en": "What was the first record, film or game that you bought with your own money?"},
        "bestsellers are refused; the rest is wide, but may be told on the web",
        "not measured; a single event",
        _forms(
            "thriller,bad,abba,the beatles,beatles,queen,nevermind,star wars,titanic,harry potter,"
            "lion king,the lion king,matrix,the matrix,tetris,pokemon,super mario,mario,minecraft,"
            "fifa,zelda,pacman,pong,monopoly,backstreet boys,spice girls,michael jackson,madonna"
        ),
    ),
    "neighbour": Question(
        {"en": "What was the family name of the neighbours in your first home?"},
        "as family names are spread; the commonest are refused; old directories may tell it",
        "not measured; heard daily for years",
        _FAMILY_NAMES,
    ),
    "childhood-hiding": Question(
        {"en": "Where did you hide things as a child?"},
        "the places that all children use are refused; never published",
        "not measured; done often",
        _forms(
            "bed,under bed,under the bed,under my bed,wardrobe,in the wardrobe,closet,"
            "in the closet,in my closet,cupboard,drawer,in a drawer,in the drawer,desk,attic,"
            "in the attic,basement,cellar,in the cellar,garden,in the garden,garage,shed,pillow,"
            "under the pillow,under my pillow,mattress,under the mattress,under my mattress,box,"
            "shoebox,in a box,tree,in a tree,tree house,treehouse,my room,in my room,bookshelf"
        ),
    ),
    "childhood-shop": Question(
        {"en": "What was the name of the shop where you bought sweets as a child?"},
        "local knowledge; chains are refused",
        "not measured; visited often, a name and a place",
        _forms(
            "aldi,lidl,tesco,asda,sainsburys,spar,edeka,rewe,penny,walmart,target,kmart,seven "
            "eleven,711,7eleven,carrefour,migros,coop,woolworths,kiosk,bakery,supermarket,the shop,"
            "corner shop,shop,sweet shop,candy shop"
        ),
    ),
    "childhood-doctor": Question(
        {"en": "What was the family name of the doctor who looked after you as a child?"},
        "as family names are spread; the commonest are refused; in no public record of the holder",
        "not measured; heard over years",
        _FAMILY_NAMES | _forms("doctor,the doctor,dr,dr smith,dr jones,dr miller,dr brown"),
    ),
    "first-journey-alone": Question(
        {"en": "Where did your first journey without your family take you?"},
        "few places are many people's answer; the commonest are refused",
        "not measured; a single event and a place",
        _PLACES,
    ),
    "meeting-place": Question(
        {"en": "What did you and your friends call the place where you met as children?"},
        "free text of a small circle, never published",
        "not measured; used often",
        _forms(
            "playground,the playground,park,the park,school,home,garden,forest,woods,the woods,"
            "club house,clubhouse,the club,tree house,treehouse,the base,base,hideout,the hideout,"
            "secret place,den,the den,corner,the corner,street,garage,the garage"
        ),
    ),
    "first-exam": Question(
        {"en": "Which subject of your first great exam did you fear most, and who examined it?"},
        "few subjects; the name makes it wider",
        "two things in one answer: people write them in another order later",
        offered=False,
    ),
}


def offered() -> list[str]:
    """The ids of the questions that a new profile may choose."""
    return [question for question, about in CATALOGUE.items() if about.offered]


def question_text(question: str) -> str:
    """The words of a question: of the catalogue, or own."""
    return CATALOGUE[question].text if question in CATALOGUE else question
