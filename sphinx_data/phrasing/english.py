"""English word forms for class names: articles, plurals, number words, lists.

Class names come from annotation files ("traffic_light", "tree-merged"); `readable` makes words of them first.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

_IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "mouse": "mice", "goose": "geese",
    "foot": "feet", "tooth": "teeth", "ox": "oxen", "louse": "lice", "cactus": "cacti", "fungus": "fungi",
    "bacterium": "bacteria", "die": "dice", "human": "humans", "german": "germans", "roman": "romans",
    # -f and -fe that change
    "knife": "knives", "wife": "wives", "life": "lives", "leaf": "leaves", "loaf": "loaves", "shelf": "shelves",
    "calf": "calves", "half": "halves", "wolf": "wolves", "scarf": "scarves", "thief": "thieves", "elf": "elves",
    "bookshelf": "bookshelves",
    # -o that takes -es
    "potato": "potatoes", "tomato": "tomatoes", "hero": "heroes", "echo": "echoes", "mango": "mangoes",
    "mosquito": "mosquitoes", "torpedo": "torpedoes", "volcano": "volcanoes", "buffalo": "buffaloes",
    # the same in both numbers
    "sheep": "sheep", "deer": "deer", "fish": "fish", "goldfish": "goldfish", "aircraft": "aircraft",
    "spacecraft": "spacecraft", "moose": "moose", "bison": "bison", "series": "series", "species": "species",
    "shrimp": "shrimp", "squid": "squid", "elk": "elk", "reindeer": "reindeer",
    "offspring": "offspring", "hovercraft": "hovercraft", "watercraft": "watercraft", "salmon": "salmon",
    "trout": "trout", "swine": "swine", "mongoose": "mongooses",
}  # fmt: skip
_COMPOUNDED = ("man", "woman", "person", "child", "knife", "wife", "shelf", "leaf", "loaf", "wolf", "tooth")
# Plural already: one of them is "a pair of ...".
_PAIRS = {
    "scissors", "skis", "glasses", "eyeglasses", "sunglasses", "goggles", "pants", "trousers", "jeans", "shorts",
    "binoculars", "tongs", "pliers", "tweezers", "headphones", "earphones", "tights", "leggings", "pajamas",
    "shears", "clippers", "chopsticks", "handcuffs", "overalls", "spectacles", "dungarees", "knickers",
    "underpants", "sweatpants", "breeches", "forceps",
}  # fmt: skip
# Plural already, without number.
_PLURAL_ONLY = {
    "people", "stairs", "clothes", "blinds", "curtains", "vegetables", "fruits", "flowers", "rocks", "goods",
    "groceries", "leaves", "bushes", "trees", "hills", "mountains", "clouds", "bleachers", "suspenders", "fries",
}  # fmt: skip
# Singular in spite of its -s; so are words in -ss, -us and -is.
_SINGULAR_S = {
    "lens", "gas", "canvas", "atlas", "christmas", "pancreas", "alias", "rhinoceros", "thermos", "cosmos",
    "asbestos", "triceratops",
}  # fmt: skip
# Neither article nor number.
_MASS = {
    "broccoli", "grass", "sky", "sand", "snow", "water", "sea", "dirt", "gravel", "mud", "rice", "bread", "pasta",
    "salad", "food", "fruit", "milk", "coffee", "tea", "beer", "wine", "cheese", "butter", "furniture", "luggage",
    "clothing", "jewelry", "equipment", "traffic", "smoke", "fog", "fire", "ice", "hay", "news", "moss",
    "cardboard", "paper", "pavement", "metal", "wood", "plastic", "cloth", "text", "foliage", "vegetation",
    "terrain", "scenery", "corn", "lettuce", "spinach", "garlic", "celery", "asparagus", "bacon", "ham", "beef",
    "pork", "toast", "popcorn", "honey", "toothpaste", "vinegar", "whiskey", "vodka", "cider", "sushi", "guacamole",
    "petfood", "mayonnaise", "ketchup", "mustard", "sugar", "salt", "flour", "yogurt", "medicine", "tape",
    "alcohol", "bait", "bamboo", "caviar", "champagne", "coleslaw", "cornbread", "cornmeal", "curd", "detergent",
    "floss", "foil", "fudge", "garbage", "gelatin", "ginger", "gum", "gravy", "ink", "juice", "jam", "jelly",
    "lemonade", "liquor", "lotion", "macaroni", "mail", "makeup", "meat", "mutton", "oil", "plasticine", "pottery",
    "powder", "rubbish", "salsa", "sauce", "seafood", "shampoo", "soap", "soup", "spaghetti", "sugarcane",
    "sunscreen", "tequila", "tinfoil", "tinsel", "tissue", "tofu", "trash", "wasabi", "wax", "wool", "yarn",
    "cotton", "leather", "silk", "denim", "lace", "cutlery", "cream", "applesauce", "steam", "rain", "sunlight",
    "lightning", "thunder", "mist", "dust", "soil", "clay", "ground", "land", "nature", "electricity", "technology",
    "music", "art", "architecture", "wildlife", "poultry", "livestock", "produce", "cuisine", "algae", "kelp",
    "seaweed", "ivy", "wheat", "rye", "barley", "oatmeal", "cereal", "money", "incense", "hummus", "oregano",
    "basil", "kale", "syrup", "dough", "laughter", "darkness", "jewellery", "newsprint", "gambling", "meditation",
    "drainage", "weaving", "lighting", "asphalt", "mulch", "photography", "gingerbread", "aviation", "porcelain",
    "gliding", "icecream", "buttercream", "porridge", "granola", "tobacco", "cocoa", "espresso",
    # sports and what people do
    "skiing", "surfing", "swimming", "snowboarding", "skateboarding", "cycling", "running", "jogging", "walking",
    "hiking", "climbing", "fishing", "sailing", "rowing", "kayaking", "canoeing", "rafting", "diving", "boxing",
    "wrestling", "fencing", "riding", "racing", "dancing", "singing", "cooking", "eating", "drinking", "reading",
    "writing", "sleeping", "sitting", "standing", "shopping", "camping", "bowling", "skating", "driving", "flying",
    "knitting", "sewing", "playing", "jumping", "throwing", "catching", "kicking", "sledding", "windsurfing",
    "kitesurfing", "parasailing", "paragliding", "parachuting", "skydiving", "snorkeling", "wakeboarding",
    "mountaineering", "motorcycling", "hunting", "gardening", "cleaning", "washing", "ironing", "smoking",
    "archery", "gymnastics", "athletics", "badminton", "golf", "hockey", "judo", "karate", "polo", "rugby",
    "taekwondo", "tennis", "yoga", "weightlifting", "sumo", "soccer",
}  # fmt: skip
_MASS_ENDS = ("ware", "wear")  # silverware, underwear
# Areas of them hold several: of COCO's stuff.
_MANY = {
    "tree", "flower", "building", "house", "mountain", "rock", "pillow", "light", "curtain", "shelf", "cabinet",
    "cupboard", "book", "plant", "leaf", "bush", "hill", "cloud", "stone", "skyscraper", "blind",
}  # fmt: skip
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_AN = re.compile(r"(?:hour|honest|honou?r|heir|[aefhilmnorsx]-|8|11(?!\d)|18(?!\d))", re.IGNORECASE)
_A = re.compile(r"(?:uni(?!n|m)|use|usu|uten|ura|uri|ufo|uku|eu|ewe|one\b|once|ouija)", re.IGNORECASE)
_ACRONYM = re.compile(r"[A-Z][A-Z0-9]+\b")
_STUFF = re.compile(r"-(?:other-)?(?:merged|stuff)$|-other$")
_MATERIAL_FIRST = re.compile(r"(wall|floor|ceiling|door)-(\w+)")
_STUFF_NAMES = {"window-blind": "window blind", "playingfield": "playing field"}
_TITLED = re.compile(r"\b[A-Z][a-z]+\b")
_PROPER = {"American", "Belgian", "Brussels", "Chinese", "Christmas", "English", "French", "German", "Japanese"}
_HEAD = re.compile(r"^(.+?)((?:\s(?:of|in|on|with|for|at|from|to|without)\s.+|\s?\(.*\)|,\s.+)?)$", re.DOTALL)


def readable(label: str) -> str:
    """A class name as words: ``traffic_light`` -> "traffic light", COCO stuff ``wall-brick`` -> "brick wall"."""
    text = _STUFF.sub("", label.strip())
    text = _STUFF_NAMES.get(text, text)
    if match := _MATERIAL_FIRST.fullmatch(text):
        text = f"{match[2]} {match[1]}"
    return " ".join(text.replace("_", " ").split()) or label


def lowered(label: str) -> str:
    """A name written as a title, ``Human face``, as running text has it; acronyms and names of nations stay."""
    return _TITLED.sub(lambda word: word[0] if word[0] in _PROPER else word[0].lower(), label)


def untitled(names: Sequence[str]) -> list[str]:
    """Names of classes in lower case where all of them are written as titles, as in Objects365."""
    titled = len(names) > 2 and all(name[:1].isupper() or not name[:1].isalpha() for name in names)
    return list(map(lowered, names)) if titled else list(names)


def article(phrase: str) -> str:
    """ "a" or "an", by sound: an hour, a unicorn, an SUV, an 8."""
    if _ACRONYM.match(phrase):
        return "an" if phrase[0] in "AEFHILMNORSX" else "a"
    if _AN.match(phrase):
        return "an"
    return "an" if phrase[:1].lower() in set("aeiou") and not _A.match(phrase) else "a"


@lru_cache(maxsize=8192)
def plural(phrase: str) -> str:
    """Plural of a noun phrase, on its head: "glass of water" -> "glasses of water", "person" -> "people"."""
    match = _HEAD.match(phrase)
    if not match:
        return phrase
    before, space, noun = match[1].rpartition(" ")
    return f"{before}{space}{_plural_word(noun)}{match[2]}"


def _plural_word(noun: str) -> str:
    lower = noun.lower()
    if "/" in noun:  # alternatives: cabinet/shelf
        return "/".join(_plural_word(word) if word else word for word in noun.split("/"))
    if lower in _PAIRS or _is_mass_word(lower) or lower in _IRREGULAR.values() or _is_plural_word(lower):
        return noun
    if lower.endswith("fish"):
        return noun
    for irregular, form in _IRREGULAR.items():
        if lower == irregular or (irregular in _COMPOUNDED and _compound(lower, irregular)):
            keep = len(noun) - len(irregular)
            return noun[:keep] + (form.capitalize() if noun[keep : keep + 1].isupper() else form)
    if not lower[-1:].isalpha():
        return f"{noun}s"
    if lower.endswith(("s", "x", "z", "ch", "sh")):
        return f"{noun}es"
    if lower.endswith("y") and lower[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def _compound(word: str, irregular: str) -> bool:
    """Whether a word such as ``snowman`` is built on the irregular one; ``human`` and ``talisman`` are not."""
    return word.endswith(irregular) and len(word) > len(irregular) + 2 and word not in ("talisman", "caiman", "shaman")


def number(count: int) -> str:
    """Number word up to twenty, figures above."""
    return _NUMBERS[count] if 0 <= count < len(_NUMBERS) else str(count)


@lru_cache(maxsize=8192)
def _head(phrase: str) -> str:
    """The noun that decides: "glass" of "a glass of water"."""
    match = _HEAD.match(phrase)
    return (match[1] if match else phrase).lower().split(" ")[-1]


def is_plural(phrase: str) -> bool:
    """Whether a name is plural already (scissors)."""
    return _head(phrase) in _PAIRS


def is_mass(phrase: str) -> bool:
    """Whether a name takes neither article nor number (grass, stairs)."""
    return _is_mass_word(_head(phrase)) or is_plural_only(phrase)


def _is_mass_word(noun: str) -> bool:
    return noun in _MASS or (noun.endswith(_MASS_ENDS) and len(noun) > 5)


def is_plural_only(phrase: str) -> bool:
    """Whether a name is a plural without number (stairs, scrambled eggs)."""
    return _is_plural_word(_head(phrase))


def _is_plural_word(noun: str) -> bool:
    if noun in _PLURAL_ONLY:
        return True
    named = noun in _PAIRS or noun in _MASS or noun in _SINGULAR_S or noun in _IRREGULAR
    return len(noun) > 3 and noun.endswith("s") and not noun.endswith(("ss", "us", "is")) and not named


@lru_cache(maxsize=8192)
def counted(phrase: str, count: int) -> tuple[str, str]:
    """Words before a name, and the name in its number: ("three ", "people"), ("a ", "dog"), ("a pair of ", "skis")."""
    if is_mass(phrase):
        return "", phrase
    if is_plural(phrase):
        return ("a pair of " if count == 1 else f"{number(count)} pairs of "), phrase
    return (f"{article(phrase)} ", phrase) if count == 1 else (f"{number(count)} ", plural(phrase))


def uncounted(phrase: str, count: int = 1) -> tuple[str, str]:
    """The same for areas whose parts nobody counted: ("", "grass"), ("", "trees"), ("a ", "wall")."""
    if is_mass(phrase):
        return "", phrase
    many = count > 1 or _head(phrase) in _MANY
    return ("", plural(phrase)) if many else (f"{article(phrase)} ", phrase)


def with_article(phrase: str) -> str:
    """ "a dog", "an apple", "a pair of scissors", "grass"."""
    return "".join(counted(phrase, 1))


def joined(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
