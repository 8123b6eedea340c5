"""The answers that a guesser tries first, by question, and everywhere (S1.43).

Rules:

1. An answer is refused when its normal form is that of a listed one, never for a part of it; only
   digits before and after one of ``ANYWHERE`` do not count.
2. The lists are written as people write; ``forms`` folds them once, when the modules are loaded. An
   umlaut is also listed as the two letters that stand for it where a keyboard has none.
3. Left out of a question's list is what another rule refuses anyway: too short, a run of the
   keyboard, words of the question, or listed under ``ANYWHERE``.
4. English and German, the languages of the product; family names and places from everywhere.
5. At least 200 answers for each question that is offered. ``first-exam`` has none, since nobody can
   register it. True telephone numbers are spread, so ``first-phone`` lists what people make up.

No measured frequency stands behind the lists: they are written from general knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reset.core.normal_form import normalise

_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def forms(answers: Iterable[str]) -> frozenset[str]:
    """The normal forms of listed answers, to compare with."""
    written = {each for answer in answers for each in (answer, answer.translate(_TWO_LETTERS))}
    return frozenset(map(normalise, written))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.strip().replace("\n", ",").split(","))


ANYWHERE = _listed("""
password,passwort,kennwort,passwd,secret,geheim,letmein,welcome,willkommen,hello,hallo,admin
administrator,login,user,test,testing,tester,foo,bar,foobar,asdf,answer,antwort,question,frage,none
nothing,unknown,i dont know,dont know,no idea,not applicable,keine,keiner,nichts,niemand,unbekannt
weiß nicht,weiß ich nicht,keine ahnung,vergessen,forgot,yes,no,maybe,nein,vielleicht,dog,cat,hund
katze,blue,red,green,black,white,yellow,blau,rot,grün,schwarz,weiß,gelb,pizza,football,baseball
soccer,fußball,i love you,love,liebe,ich liebe dich,schatz,dragon,monkey,sunshine,princess,god
jesus,gott,mother,mom,mum,father,dad,mama,papa,mutter,vater,oma,opa,home,house,haus,smith,jones
müller,london,paris,berlin,new york
""")

# what people make up: pairs and threes again, steps, figures on the keypad, famous numbers
_NUMBERS = _listed("""
010101,020202,030303,040404,050505,060606,070707,080808,090909,101010,121212,131313,141414,151515
161616,171717,181818,191919,202020,212121,232323,242424,252525,262626,272727,282828,292929,303030
313131,323232,343434,353535,363636,373737,383838,393939,404040,414141,424242,434343,454545,464646
474747,484848,494949,505050,515151,525252,535353,545454,565656,575757,585858,595959,606060,616161
626262,636363,646464,656565,676767,686868,696969,707070,717171,727272,737373,747474,757575,767676
787878,797979,808080,818181,828282,838383,848484,858585,868686,878787,898989,909090,919191,929292
939393,949494,959595,969696,979797,989898,001122,221100,112233,332211,223344,443322,334455,554433
445566,665544,556677,776655,667788,887766,778899,998877,000111,111000,111222,222000,222111,222333
333000,333222,333444,444000,444333,444555,555000,555444,555666,666000,666555,666777,777000,777666
777888,888000,888777,888999,999000,999888,147147,258258,369369,159159,357357,741741,852852,963963
951951,753753,135135,246246,100100,200200,300300,500500,700700,007007,911911,110110,112112,420420
520520,101101,159753,159357,147258,147369,258369,147852,258147,369258,369147,741852,852963,963852
951753,753951,753159,357159,456852,852456,159951,951159,147963,142536,415263,124578,235689,134679
179317,246810,135790,135791,246801,108642,102030,203040,304050,405060,506070,908070,100200,200300
314159,141592,271828,141421,161803,112358,299792,867530,675309,551234,551212,100000,200000,300000
400000,500000,600000,700000,800000,900000,100001,111112,000001,000007,000123,123000,112211,221122
110011,122333,333221,147741,258852,369963,135531,246642,121121,199999,200001
""")

_EMPLOYERS = _listed("""
my father,my dad,my mother,my mom,my mum,my parents,parents,uncle,my uncle,aunt,my aunt,grandpa
my grandpa,grandfather,my grandfather,grandma,my grandma,grandmother,my grandmother,neighbour
neighbor,my neighbour,my neighbor,boss,my boss,mein vater,meine mutter,mein opa,meine oma,eltern
meine eltern,onkel,mein onkel,tante,meine tante,nachbar,mein nachbar,nachbarin,chef,mein chef
mcdonalds,burger king,babysitting,paper round,zeitung
""")

_STREETS = _listed("""
main street,main st,main road,main,high street,high st,high road,church street,church road
church lane,station road,station street,park street,park road,park avenue,park lane,park
london road,victoria road,victoria street,green lane,green street,the green,manor road,mill lane
mill road,mill street,queens road,queen street,queensway,kings road,king street,kingsway,new road
new street,school lane,school road,school street,grange road,grove road,the grove,the avenue
the crescent,the drive,the close,windsor road,york road,george street,albert road,alexandra road
stanley road,springfield road,richmond road,highfield road,chestnut avenue,north street,north road
south street,south road,west street,east street,broadway,back lane,bridge street,market street
cross street,spring street,water street,river road,river street,lake street,lake road
lakeview drive,hill street,hill road,hillside avenue,hillcrest drive,forest road,first street
1st street,second street,2nd street,third street,3rd street,fourth street,4th street,fifth street
5th street,fifth avenue,5th avenue,sixth street,first avenue,second avenue,oak street,oak avenue
oak road,oak lane,oak drive,oak,maple street,maple avenue,maple drive,maple lane,maple,elm street
elm avenue,elm,pine street,pine avenue,pine,cedar street,cedar avenue,cedar lane,walnut street
chestnut street,cherry street,cherry lane,willow street,birch street,ash street,poplar street
sycamore street,magnolia street,dogwood lane,meadow lane,sunset drive,washington street
washington avenue,washington,lincoln street,lincoln avenue,lincoln,jefferson street,jackson street
madison street,franklin street,adams street,center street,central avenue,union street,front street
court street,state street,college street,prospect street,hauptstraße,hauptstr,hauptweg,schulstraße
schulstr,schulweg,gartenstraße,gartenstr,gartenweg,bahnhofstraße,bahnhofstr,am bahnhof,dorfstraße
dorfstr,bergstraße,bergweg,am berg,kirchstraße,kirchweg,kirchgasse,kirchplatz,waldstraße,waldweg
am wald,ringstraße,wiesenstraße,wiesenweg,wiesengrund,feldstraße,feldweg,lindenstraße,lindenweg
lindenallee,birkenstraße,birkenweg,birkenallee,buchenstraße,buchenweg,eichenstraße,eichenweg
erlenweg,ahornweg,ahornstraße,tannenweg,tannenstraße,fichtenweg,kiefernweg,ulmenweg,eschenweg
kastanienallee,kastanienweg,pappelweg,weidenweg,haselweg,holunderweg,fliederweg,rosenstraße
rosenweg,nelkenweg,tulpenweg,veilchenweg,blumenstraße,amselweg,amselstraße,drosselweg,finkenweg
meisenweg,lerchenweg,lerchenstraße,starenweg,schwalbenweg,falkenweg,mühlenweg,mühlenstraße,mühlweg
mühlstraße,mühlgasse,bachstraße,am bach,brunnenstraße,burgstraße,schloßstraße,marktstraße
marktplatz,poststraße,parkstraße,industriestraße,ringweg,hochstraße,talstraße,steinstraße,steinweg
sonnenstraße,mittelstraße,nordstraße,südstraße,weststraße,oststraße,lange straße,breite straße
neue straße,kurze straße,friedhofstraße,friedenstraße,am sportplatz,sportplatzweg,am hang,im winkel
flurstraße,querstraße,rathausstraße,grüner weg,schillerstraße,goethestraße,lessingstraße,kantstraße
heinestraße,uhlandstraße,eichendorffstraße,mörikestraße,mozartstraße,beethovenstraße,schubertstraße
haydnstraße,wagnerstraße,jahnstraße,friedrichstraße,wilhelmstraße,kaiserstraße,königstraße
bismarckstraße,luisenstraße,karlstraße,ludwigstraße,lutherstraße,robert koch straße,daimlerstraße
röntgenstraße,gutenbergstraße,geschwister scholl straße,ernst thälmann straße,karl marx straße
straße des friedens,berliner straße,hamburger straße,frankfurter straße,leipziger straße
dresdner straße,münchner straße,kölner straße,breslauer straße,danziger straße,königsberger straße
stettiner straße,sudetenstraße
""")

_PLACES = _listed("""
england,scotland,wales,ireland,great britain,britain,united kingdom,edinburgh,glasgow,belfast
dublin,manchester,liverpool,birmingham,brighton,blackpool,cornwall,isle of wight,jersey,guernsey
isle of man,channel islands,france,frankreich,disneyland paris,nice,nizza,lyon,marseille,bordeaux
calais,normandy,brittany,corsica,korsika,provence,spain,spanien,madrid,barcelona,valencia,seville
malaga,alicante,benidorm,costa brava,costa del sol,mallorca,majorca,palma,palma de mallorca,menorca
minorca,ibiza,canary islands,kanaren,gran canaria,tenerife,teneriffa,lanzarote,fuerteventura
la palma,portugal,lisbon,lissabon,porto,algarve,faro,madeira,azores,azoren,italy,italien,rome,rom
roma,milan,mailand,venice,venedig,florence,florenz,naples,neapel,sicily,sizilien,sardinia,sardinien
elba,rimini,gardasee,lake garda,tuscany,toskana,pisa,verona,greece,griechenland,athens,athen,crete
kreta,rhodes,rhodos,corfu,korfu,kos,santorini,mykonos,cyprus,zypern,malta,turkey,türkei,istanbul
antalya,bodrum,croatia,kroatien,dubrovnik,split,bulgaria,bulgarien,romania,hungary,ungarn,budapest
balaton,plattensee,czech republic,tschechien,prague,prag,poland,polen,warsaw,krakow,russia,russland
moscow,moskau,st petersburg,ukraine,kiev,austria,österreich,vienna,wien,salzburg,innsbruck,tirol
switzerland,schweiz,zürich,geneva,genf,bern,basel,netherlands,holland,niederlande,amsterdam
rotterdam,belgium,belgien,brussels,brüssel,luxembourg,luxemburg,denmark,dänemark,copenhagen
kopenhagen,bornholm,sweden,schweden,stockholm,gothenburg,norway,norwegen,oslo,finland,finnland
helsinki,iceland,island,germany,deutschland,hamburg,münchen,munich,köln,cologne,frankfurt
düsseldorf,stuttgart,leipzig,dresden,hannover,nürnberg,bremen,helgoland,sylt,norderney,borkum,juist
langeoog,wangerooge,spiekeroog,amrum,föhr,rügen,usedom,fehmarn,nordsee,ostsee,north sea,baltic sea
bodensee,harz,schwarzwald,bayern,bavaria,usa,america,amerika,united states,nyc,new york city
los angeles,chicago,miami,orlando,florida,california,kalifornien,texas,dallas,houston,atlanta
disneyland,disney world,disney,las vegas,san francisco,san diego,seattle,denver,phoenix,boston
washington,washington dc,philadelphia,hawaii,honolulu,alaska,canada,kanada,toronto,montreal
vancouver,mexico,mexiko,cancun,cuba,kuba,jamaica,bahamas,dominican republic,puerto rico,caribbean
karibik,brazil,brasilien,rio de janeiro,sao paulo,argentina,buenos aires,egypt,ägypten,cairo
hurghada,tunisia,tunesien,djerba,morocco,marokko,marrakesh,south africa,südafrika,kenya,kenia
israel,tel aviv,dubai,iran,india,indien,delhi,mumbai,bombay,thailand,bangkok,phuket,bali,singapore
singapur,malaysia,vietnam,philippines,hong kong,china,beijing,shanghai,japan,tokyo,osaka,korea
seoul,australia,australien,sydney,melbourne,new zealand,neuseeland,grandparents,großeltern,beach
the beach,sea,the sea,ans meer,meer,北京,上海,東京,大阪,서울,부산,москва,my grandparents
""")

_ALONE = _listed("""
camp,summer camp,scout camp,holiday camp,ferienlager,zeltlager,pfadfinderlager,jugendlager
jugendherberge,youth hostel,school trip,class trip,klassenfahrt,skilager,interrail,festival
""")

_NAMES = _listed("""
williams,johnson,brown,taylor,davis,davies,miller,wilson,moore,anderson,thomas,jackson,harris
martin,thompson,robinson,clark,clarke,lewis,walker,hall,allen,young,wright,scott,hill,adams,baker
nelson,carter,mitchell,roberts,turner,phillips,campbell,parker,evans,edwards,collins,stewart,morris
rogers,reed,cook,morgan,bell,murphy,bailey,cooper,richardson,cox,howard,ward,peterson,gray,james
watson,brooks,kelly,sanders,price,bennett,wood,barnes,ross,henderson,jenkins,perry,powell,hughes
foster,butler,simmons,patterson,jordan,hamilton,graham,murray,ford,marshall,owens,mcdonald,ellis
harrison,gibson,stevens,wells,shaw,hunt,holmes,palmer,robertson,hunter,king,lee,macdonald,reid
mason,webb,knight,mills,matthews,obrien,oconnor,oneill,byrne,ryan,walsh,kennedy,chapman,schmidt
schmitt,schmitz,schmid,schneider,fischer,weber,meyer,meier,maier,mayer,wagner,becker,schulz,schulze
schultz,hoffmann,hofmann,schäfer,koch,bauer,richter,klein,wolf,wolff,schröder,neumann,braun
zimmermann,krüger,hartmann,lange,krause,lehmann,köhler,herrmann,hermann,walter,könig,huber,kaiser
fuchs,peters,lang,scholz,möller,jung,hahn,keller,vogel,schubert,roth,frank,friedrich,beck,günther
berger,winkler,lorenz,baumann,schuster,albrecht,franke,simon,ludwig,böhm,winter,kraus,schumacher
krämer,vogt,stein,jäger,otto,groß,sommer,seidel,heinrich,brandt,haas,schreiber,graf,dietrich
schulte,ziegler,kühn,pohl,engel,horn,busch,bergmann,sauer,arnold,pfeiffer,voigt,ernst,gruber
steiner,moser,egger,hofer,pichler,leitner,bianchi,rossi,russo,ferrari,esposito,romano,bernard
dubois,durand,dupont,petit,garcia,rodriguez,martinez,hernandez,lopez,gonzalez,perez,sanchez,ramirez
torres,flores,rivera,gomez,diaz,silva,santos,ferreira,pereira,oliveira,costa,novak,nowak,kowalski
wisniewski,horvat,horvath,nagy,kovacs,popescu,ivanov,ivanova,petrov,petrova,smirnov,popov,jovanovic
andersson,johansson,karlsson,nilsson,hansen,hansson,jensen,nielsen,pedersen,petersen,andersen,olsen
larsen,jansen,janssen,de jong,de vries,van dijk,bakker,visser,papadopoulos,yilmaz,yılmaz,kaya,demir
öztürk,sahin,celik,yildiz,yıldız,arslan,dogan,aydin,aydın,nguyen,tran,pham,kim,park,choi,wang,zhang
chen,liu,huang,yang,zhao,lin,singh,kumar,sharma,patel,gupta,das,khan,ahmed,ali,hussein,hassan
mohammed,mohamed,begum,tanaka,sato,suzuki,takahashi,watanabe,ito,yamamoto,nakamura,kobayashi,佐藤,鈴木
高橋,田中,伊藤,渡辺,山本,中村
""")

_TEACHERS = _listed("""
prof,professor,doc,doctor,the doctor,boss,the boss,big boss,chief,sir,miss,madam,coach,captain,cap
sergeant,sarge,general,the general,major,colonel,commander,hitler,adolf,stalin,napoleon,dracula
count dracula,frankenstein,vampire,zombie,monster,the monster,ghost,devil,the devil,satan,witch
the witch,old witch,wicked witch,the dragon,dragon lady,batman,robin,superman,spiderman,hulk,joker
the joker,penguin,yoda,darth vader,vader,gandalf,gollum,dumbledore,snape,professor snape,mcgonagall
umbridge,hagrid,voldemort,harry potter,miss trunchbull,trunchbull,mr bean,bean,einstein,newton
sherlock,columbo,rambo,terminator,robocop,homer,homer simpson,skinner,mr burns,krusty,shrek
godzilla,king kong,kong,jaws,santa,santa claus,moses,the pope,the queen,iron lady,mary poppins
grandpa,grandma,granny,old man,old lady,baldy,baldie,slaphead,egghead,egg,specs,four eyes,goggles
beaky,big nose,nosey,big ears,fatty,fatso,fat man,tubby,shorty,tiny,titch,lofty,lanky,beanpole
giraffe,bear,the bear,teddy,wolf,fox,the fox,owl,the owl,frog,toad,turtle,tortoise,snake,the snake
rat,ratty,mouse,parrot,hawk,hawkeye,eagle,vulture,bulldog,poodle,pitbull,sheep,goat,pig,piggy,cow
horse,donkey,elephant,hippo,rhino,lion,gorilla,mole,badger,hamster,hedgehog,chicken,duck,goose
grumpy,sleepy,dopey,happy,smiley,smokey,stinky,smelly,sweaty,psycho,crazy,nutty,mad professor
mad dog,killer,tank,flash,speedy,snail,slowpoke,snoopy,garfield,mickey,mickey mouse,donald
donald duck,goofy,hexe,die hexe,alte hexe,drache,drachen,der drache,hausdrache,chef,der chef,cheffe
meister,doktor,feldwebel,hauptmann,kommissar,sheriff,kaiser,graf,graf zahl,graf dracula,papst
der papst,pfarrer,teufel,der teufel,engel,glatze,die glatze,glatzkopf,brille,brillenschlange
schnauzer,schnauzbart,bart,nase,dicker,der dicke,dickerchen,dicki,fettsack,zwerg,gartenzwerg
giftzwerg,der zwerg,riese,der lange,langer,bohnenstange,storch,eule,die eule,uhu,rabe,krähe,adler
geier,specht,ente,gans,huhn,glucke,hahn,gockel,frosch,der frosch,kröte,schildkröte,schlange,ratte
die ratte,maus,mäuschen,hase,igel,dachs,fuchs,der fuchs,der bär,elefant,nilpferd,walross,affe,esel
pferd,kuh,ziege,schaf,schwein,dackel,mops,pudel,spinne,wespe,biene,biene maja,schnecke,faultier
schlaftablette,transuse,trantüte,rumpelstilzchen,hotzenplotz,räuber hotzenplotz,catweazle,pumuckl
pippi,pippi langstrumpf,obelix,asterix,majestix,gargamel,schlumpf,papa schlumpf,kermit,miss piggy
tiger,krümelmonster,ernie,bert,samson,oberlehrer,pauker,omi,opi,weihnachtsmann,nikolaus,osterhase
sandmann,baer
""")

_LOST = _listed("""
teddy,my teddy,teddybär,mein teddy,teddy bear,bear,my bear,doll,my doll,puppe,meine puppe,barbie
barbie doll,ball,my ball,toy,toys,my toy,spielzeug,car,toy car,my car,auto,spielzeugauto,matchbox
matchbox car,matchboxauto,hot wheels,toy train,train,eisenbahn,zug,lego,legos,playmobil
action figure,figur,gi joe,he man,transformer,transformers,ninja turtle,power ranger
star wars figure,toy soldier,toy gun,dinosaur,dino,toy dinosaur,blanket,my blanket,blankie,decke
meine decke,kuscheldecke,schmusedecke,schmusetuch,schnuffeltuch,kuscheltuch,cuddly toy,cuddly
soft toy,stuffed animal,stuffed toy,stuffy,plush,plushie,plush toy,kuscheltier,mein kuscheltier
stofftier,plüschtier,rabbit,bunny,stuffed rabbit,stuffed bunny,hase,häschen,kuschelhase,stoffhase
elephant,elefant,stuffed dog,stoffhund,toy dog,affe,kuschelaffe,stuffed monkey,lion,löwe,tiger
panda,penguin,pinguin,frog,frosch,unicorn,einhorn,lamb,sheep,schaf,schäfchen,mouse,maus,igel,ente
duck,pferd,horse,dolphin,pacifier,dummy,schnuller,nuckel,bicycle,bike,my bike,fahrrad,mein fahrrad
scooter,roller,tricycle,dreirad,bobby car,skateboard,skates,roller skates,inliner,rollschuhe
schlitten,sled,watch,my watch,wristwatch,uhr,meine uhr,armbanduhr,key,keys,my keys,house key
schlüssel,haustürschlüssel,hausschlüssel,money,my money,pocket money,geld,taschengeld,wallet,purse
geldbeutel,geldbörse,portemonnaie,brieftasche,bag,backpack,rucksack,schoolbag,schulranzen
schultasche,tasche,ring,my ring,necklace,kette,halskette,bracelet,armband,earring,earrings,ohrring
ohrringe,jewelry,jewellery,schmuck,locket,cross,kreuz,glasses,brille,sunglasses,sonnenbrille,book
my book,buch,mein buch,diary,tagebuch,comic,comics,pen,füller,füllfederhalter,pencil,pencil case
federtasche,mäppchen,game boy,nintendo,nintendo ds,playstation,psp,tamagotchi,walkman,mp3 player
ipod,camera,kamera,handy,phone,my phone,mobile phone,cell phone,telefon,pokemon card,pokemon cards
pokemonkarten,baseball card,baseball cards,sticker,sticker album,stickers,marbles,marble,murmel
murmeln,yoyo,jojo,kite,drachen,knife,pocket knife,swiss army knife,messer,taschenmesser,torch
flashlight,taschenlampe,hat,my hat,cap,baseball cap,hut,mütze,meine mütze,jacket,my jacket,coat
jacke,mantel,scarf,schal,gloves,glove,mittens,handschuh,handschuhe,shoe,shoes,schuh,schuhe,umbrella
regenschirm,tooth,zahn,stein,stone,coin,münze,balloon,luftballon,hamster,meerschweinchen,guinea pig
kaninchen,bird,vogel,wellensittich,pet,haustier,grandfather,grandmother,grandpa,grandma,baer
""")

_RECORDS = _listed("""
thriller,bad,dangerous,michael jackson,abba,abba gold,the beatles,beatles,abbey road,sgt pepper
white album,rubber soul,revolver,help,let it be,the rolling stones,rolling stones,queen
greatest hits,a night at the opera,bohemian rhapsody,we will rock you,pink floyd,the wall
dark side of the moon,the dark side of the moon,wish you were here,led zeppelin,deep purple
smoke on the water,ac dc,back in black,highway to hell,metallica,black album,master of puppets
iron maiden,kiss,nirvana,nevermind,smells like teen spirit,guns n roses,appetite for destruction
bon jovi,slippery when wet,aerosmith,joshua tree,the joshua tree,dire straits
brothers in arms,genesis,phil collins,sting,the police,madonna,like a virgin,like a prayer
true blue,prince,purple rain,whitney houston,the bodyguard,bruce springsteen,born in the usa
david bowie,elton john,rod stewart,cher,elvis,elvis presley,bob marley,legend,bee gees
saturday night fever,grease,dirty dancing,boney m,fleetwood mac,rumours,eagles,hotel california
bat out of hell,meat loaf,duran duran,wham,george michael,depeche mode,violator,the cure
modern talking,a ha,take on me,europe,the final countdown,final countdown,roxette,ace of base
dr alban,2 unlimited,snap,backstreet boys,nsync,new kids on the block,take that,boyzone,spice girls
spice,wannabe,britney spears,baby one more time,christina aguilera,celine dion,mariah carey,tlc
destinys child,beyonce,jennifer lopez,shakira,robbie williams,oasis,wonderwall,blur
whats the story morning glory,definitely maybe,radiohead,ok computer,coldplay,parachutes,green day
dookie,american idiot,the offspring,offspring,smash,americana,blink 182,enema of the state
limp bizkit,linkin park,hybrid theory,meteora,korn,eminem,the eminem show,the marshall mathers lp
50 cent,2pac,rihanna,lady gaga,the fame,katy perry,taylor swift,adele,ed sheeran,justin bieber
one direction,alanis morissette,jagged little pill,red hot chili peppers,californication,pearl jam
ten,cranberries,the cranberries,zombie,aqua,barbie girl,macarena,vengaboys,mr president,scooter
haddaway,captain jack,nena,99 luftballons,die ärzte,die toten hosen,tote hosen,herbert grönemeyer
grönemeyer,bochum,westernhagen,udo lindenberg,falco,rock me amadeus,peter maffay,tabaluga
die prinzen,fanta 4,die fantastischen vier,rammstein,sehnsucht,scorpions,wind of change
helene fischer,tokio hotel,schrei,tic tac toe,bravo hits,bravo hits 1,bibi blocksberg
benjamin blümchen,die drei fragezeichen,drei fragezeichen,tkkg,fünf freunde,pumuckl
bibi und tina,now thats what i call music,the dome,kuschelrock,star wars,a new hope
the empire strikes back,titanic,jurassic park,lion king,the lion king,könig der löwen
der könig der löwen,aladdin,the little mermaid,arielle,beauty and the beast,bambi,dschungelbuch
das dschungelbuch,the jungle book,finding nemo,findet nemo,toy story,shrek,frozen,harry potter
harry potter und der stein der weisen,lord of the rings,the lord of the rings,herr der ringe
der herr der ringe,matrix,the matrix,terminator,terminator 2,indiana jones,back to the future
zurück in die zukunft,ghostbusters,rocky,rambo,top gun,die hard,pulp fiction,forrest gump
james bond,batman,spiderman,avatar,gladiator,independence day,men in black,pirates of the caribbean
fluch der karibik,twilight,home alone,kevin allein zu haus,pretty woman,tetris,super mario
super mario bros,super mario land,super mario world,super mario 64,mario,mario kart,mario kart 64
zelda,the legend of zelda,ocarina of time,donkey kong,pokemon,pokemon red,pokemon blue
pokemon yellow,pokemon rot,pokemon blau,pokemon gelb,pokemon silber,pokemon gold,sonic
sonic the hedgehog,pacman,pong,space invaders,minecraft,fifa,fifa 98,fifa 99,gta,gta san andreas
gta vice city,grand theft auto,the sims,sims,die sims,sim city,age of empires,anno 1602,die siedler
siedler,command and conquer,warcraft,world of warcraft,starcraft,diablo,diablo 2,doom,quake
half life,counter strike,tomb raider,final fantasy,final fantasy vii,gran turismo,crash bandicoot
call of duty,halo,need for speed,monkey island,monopoly,uno,skat,risk,risiko
mensch ärgere dich nicht
""")

_HIDING = _listed("""
bed,my bed,under bed,under the bed,under my bed,beneath my bed,in bed,in my bed,behind the bed
behind my bed,bett,im bett,unterm bett,unter dem bett,unter meinem bett,hinter dem bett
hinterm bett,bettkasten,im bettkasten,wardrobe,my wardrobe,in the wardrobe,in my wardrobe
on the wardrobe,behind the wardrobe,under the wardrobe,on top of the wardrobe,closet,my closet
in the closet,in my closet,in closet,cupboard,in the cupboard,in my cupboard,schrank,im schrank
in meinem schrank,kleiderschrank,im kleiderschrank,hinter dem schrank,hinterm schrank
unter dem schrank,unterm schrank,auf dem schrank,drawer,my drawer,in a drawer,in the drawer
in my drawer,sock drawer,in my sock drawer,underwear drawer,desk drawer,bottom drawer,top drawer
dresser,in my dresser,schublade,in der schublade,in einer schublade,in meiner schublade
sockenschublade,in der sockenschublade,kommode,in der kommode,nachttisch,im nachttisch,nightstand
in my nightstand,bedside table,desk,my desk,in my desk,under my desk,under the desk,schreibtisch
im schreibtisch,unterm schreibtisch,unter dem schreibtisch,attic,in the attic,the attic,loft
in the loft,dachboden,auf dem dachboden,speicher,auf dem speicher,basement,in the basement,cellar
in the cellar,keller,im keller,kitchen,in the kitchen,küche,in der küche,bathroom,bad,im bad
bedroom,in my bedroom,my bedroom,my room,in my room,room,zimmer,im zimmer,mein zimmer
in meinem zimmer,kinderzimmer,im kinderzimmer,wohnzimmer,living room,garden,in the garden
the garden,garten,im garten,backyard,in the backyard,yard,garage,in the garage,the garage
in der garage,shed,in the shed,garden shed,schuppen,im schuppen,gartenhaus,im gartenhaus
gartenhütte,barn,in the barn,scheune,in der scheune,stall,im stall,heuboden,pillow,under the pillow
under my pillow,in my pillow,pillowcase,in my pillowcase,kissen,unterm kissen,unter dem kissen
unterm kopfkissen,unter dem kopfkissen,unter meinem kissen,kopfkissen,im kopfkissen,mattress
my mattress,under the mattress,under my mattress,matratze,unter der matratze,unter meiner matratze
box,in a box,in my box,shoe box,in a shoe box,secret box,treasure chest,toy box,in my toy box
toy chest,kiste,in einer kiste,in der kiste,spielzeugkiste,in der spielzeugkiste,schuhkarton
im schuhkarton,in einem schuhkarton,schatzkiste,in der schatzkiste,tin,cookie jar,keksdose,dose
in einer dose,tree,in a tree,in the tree,under a tree,tree house,in the tree house,hollow tree
in a hollow tree,tree trunk,baum,im baum,im hohlen baum,hohler baum,unter einem baum,baumhaus
im baumhaus,forest,woods,in the woods,in the forest,wald,im wald,bush,bushes,in the bushes,hedge
in the hedge,hecke,in der hecke,im gebüsch,gebüsch,under a rock,under a stone,unter einem stein
hole,in a hole,in the ground,buried,buried in the garden,loch,im garten vergraben,vergraben
playhouse,dollhouse,in my dollhouse,puppenhaus,im puppenhaus,sandbox,sandpit,sandkasten
im sandkasten,bookshelf,on the bookshelf,in the bookshelf,behind the bookshelf,bookcase
behind books,behind the books,behind my books,in a book,bücherregal,im bücherregal,regal,im regal
hinter den büchern,in einem buch,carpet,under the carpet,under the rug,teppich,unterm teppich
unter dem teppich,floorboard,floorboards,under the floorboards,under the floor,loose floorboard
under a floorboard,diele,unter der diele,sofa,under the sofa,behind the sofa,couch,under the couch
behind the couch,unterm sofa,unter dem sofa,hinterm sofa,under the stairs,stairs,staircase
under the staircase,treppe,unter der treppe,unter der kellertreppe,curtain,behind the curtain
behind the curtains,vorhang,hinter dem vorhang,hinterm vorhang,radiator,behind the radiator,heizung
hinter der heizung,door,behind the door,hinter der tür,windowsill,fensterbank,backpack
in my backpack,school bag,in my school bag,rucksack,im rucksack,schulranzen,im schulranzen,pocket
in my pocket,hosentasche,in der hosentasche,teddy,in my teddy,teddy bear,in my teddy bear,im teddy
piano,in the piano,klavier,im klavier,chimney,kamin,dachrinne
""")

_SHOPS = _listed("""
aldi,aldi süd,aldi nord,lidl,penny,netto,norma,plus,rewe,edeka,kaufland,real,spar,konsum,hit,tegut
minimal,extra,tengelmann,kaisers,coop,migros,denner,billa,hofer,bipa,adeg,volg,globus,famila
markant,nah und gut,nahkauf,vivo,a und o,rossmann,schlecker,karstadt,kaufhof,hertie,horten,quelle
hussel,arko,haribo,tante emma laden,tante emma,emma laden,kiosk,der kiosk,am kiosk,kiosk am eck
büdchen,bude,die bude,trinkhalle,späti,trafik,bäcker,bäckerei,beim bäcker,der bäcker,dorfladen
konditorei,metzger,metzgerei,supermarkt,markt,kaufladen,laden,der laden,lädchen,tankstelle,aral
shell,esso,schreibwaren,zeitungsladen,lotto,süßwarenladen,bonbonladen,süßigkeitenladen,schulkiosk
freibad,schwimmbad,krämer,krämerladen,lebensmittel,lebensmittelladen,schmidt,meyer,schulze,lange
becker,tesco,tesco express,asda,sainsburys,morrisons,waitrose,safeway,somerfield,kwik save,iceland
londis,costcutter,budgens,nisa,happy shopper,premier,mace,centra,one stop,the co op,cooperative
woolworths,woolworth,woolies,pick n mix,pick and mix,whsmith,smiths,marks and spencer,martins
mccolls,forbuoys,dillons,john menzies,poundland,bhs,thorntons,post office,the post office
village store,village stores,the village store,corner store,the corner store,newsagent,newsagents
the newsagents,the newsagent,paper store,the tuck,the offie,chip van,ice cream van,market stall
market,the market,bakery,the bakery,baker,bakers,the bakers,cafe,chemist,cinema,petrol station
garage,the garage,supermarket,the supermarket,grocery,grocery store,the grocery store,candy store
the candy store,general store,the general store,convenience store,drugstore,gas station
the gas station,bodega,deli,the deli,the store,store,dairy,the dairy,milk bar,the milk bar
five and dime,five and ten,dime store,dollar store,dollar tree,dollar general,family dollar,walmart
target,kmart,costco,sams club,kroger,publix,albertsons,winn dixie,piggly wiggly,food lion,giant
giant eagle,shoprite,stop and shop,a and p,wegmans,meijer,hy vee,whole foods,trader joes,walgreens
cvs,rite aid,eckerd,7 eleven,seven eleven,7 11,circle k,quiktrip,wawa,sheetz,speedway
cumberland farms,dairy queen,dairy mart,ben franklin,sears,jcpenney,macys,toys r us,sweet factory
sees candies,sees,hersheys,loblaws,sobeys,tim hortons,coles,iga,four square,carrefour,leclerc
auchan,intermarche,monoprix,casino,mercadona,albert heijn,jamin,hema,ica,konzum,biedronka,bim,oxxo
lawson,corner shop,sweet shop,candy shop,tuck shop,off licence,the sweet shop
""")

_MEETING = _listed("""
playground,the playground,spielplatz,der spielplatz,am spielplatz,auf dem spielplatz,spieli
der spieli,bolzplatz,der bolzplatz,bolzer,bolzi,am bolzplatz,fußballplatz,sportplatz,am sportplatz
football pitch,football field,soccer field,the pitch,the field,field,fields,the fields
baseball field,basketball court,the court,the courts,skate park,the skatepark,skaterpark,halfpipe
park,the park,our park,der park,im park,stadtpark,parky,the rec,rec,recreation ground,the green
village green,the common,school,the school,schoolyard,the schoolyard,schule,die schule,schulhof
der schulhof,auf dem schulhof,pausenhof,kindergarten,turnhalle,garden,the garden,garten,im garten
backyard,the backyard,yard,hof,der hof,im hof,innenhof,hinterhof,bauernhof,forest,the forest,woods
the woods,wood,the wood,wald,der wald,im wald,wäldchen,das wäldchen,waldhütte,meadow,the meadow
wiese,die wiese,auf der wiese,hill,the hill,hügel,der hügel,berg,der berg,rodelberg,mountain,river
the river,fluss,am fluss,creek,the creek,stream,the stream,brook,bach,der bach,am bach,lake
the lake,pond,the pond,see,der see,am see,teich,am teich,weiher,am weiher,beach,the beach,strand
am strand,pool,the pool,swimming pool,schwimmbad,freibad,im freibad,bridge,the bridge
under the bridge,brücke,die brücke,an der brücke,unter der brücke,tunnel,cave,the cave,höhle
die höhle,unsere höhle,bat cave,tree house,the tree house,our treehouse,baumhaus,das baumhaus
im baumhaus,unser baumhaus,tree,the tree,the big tree,big tree,old tree,the old tree,baum,der baum
am baum,clubhouse,the clubhouse,club,the club,our club,clubhaus,das clubhaus,clubraum
bandenversteck,bande,bandenquartier,hauptquartier,das hauptquartier,headquarters,the headquarters
base,the base,our base,secret base,home base,basis,die basis,basislager,lager,das lager,unser lager
geheimlager,geheimes lager,geheimversteck,versteck,das versteck,unser versteck,geheimplatz
treffpunkt,der treffpunkt,unser treffpunkt,treff,der treff,jugendtreff,jugendclub,jugendhaus
jugendzentrum,juze,juz,youth club,secret place,our secret place,the secret place,secret spot
our spot,the spot,hideout,the hideout,our hideout,hideaway,hiding place,secret garden
secret hideout,den,the den,our den,lair,the lair,fort,the fort,our fort,castle,the castle,burg
die burg,schloss,festung,ritterburg,räuberhöhle,palace,neverland,narnia,terabithia,hogwarts
wonderland,bullerbü,villa kunterbunt,corner,the corner,street corner,ecke,die ecke,an der ecke,eck
street,the street,our street,straße,die straße,auf der straße,alley,the alley,lane,crossroads
kreuzung,sackgasse,cul de sac,dead end,garage,the garage,garages,the garages,garagen,an den garagen
parkplatz,parking lot,car park,parkhaus,shed,the shed,schuppen,der schuppen,hut,the hut,hütte
die hütte,holzhütte,cabin,barn,the barn,scheune,die scheune,attic,the attic,dachboden,basement
the basement,keller,der keller,partykeller,bunker,der bunker,the bunker,ruin,the ruins,ruine
old house,the old house,altes haus,church,the church,kirche,kirchhof,friedhof,cemetery,graveyard
fountain,brunnen,am brunnen,marktplatz,dorfplatz,der dorfplatz,dorfbrunnen,market square,the square
platz,der platz,unser platz,bench,the bench,bank,die bank,bushaltestelle,haltestelle
die haltestelle,bushalte,bus stop,the bus stop,bushäuschen,bahnhof,train station,station,kiosk
am kiosk,tankstelle,mall,the mall,shopping mall,einkaufszentrum,mcdonalds,ice rink,spielstraße
sandkasten,im sandkasten,sandpit,sandbox,swings,the swings,schaukel,rutsche,klettergerüst
tischtennisplatte,platte,die platte,kiesgrube,steinbruch,quarry,mein zimmer,my room,bei mir,zuhause
bei oma,library,bücherei,sportheim,vereinsheim
""")

COMMON: Mapping[str, tuple[str, ...]] = {
    "first-phone": _NUMBERS,
    "childhood-street": _STREETS,
    "first-flight": _PLACES,
    "first-employer": (*_NAMES, *_EMPLOYERS),
    "teacher-nickname": _TEACHERS,
    "lost-thing": _LOST,
    "first-record": _RECORDS,
    "neighbour": _NAMES,
    "childhood-hiding": _HIDING,
    "childhood-shop": _SHOPS,
    "childhood-doctor": (
        *_NAMES,
        *(f"dr {name}" for name in (*_NAMES, "smith", "jones", "müller")),
        "doktor",
        "hausarzt",
        "kinderarzt",
    ),
    "first-journey-alone": (*_PLACES, *_ALONE),
    "meeting-place": _MEETING,
}
