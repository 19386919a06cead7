"""The nouns of a product's name, by rules instead of a statistical tagger.

A product's name is a heap of nouns with a few other words in it, so a word counts as a noun unless it is a number, a measure, a function
word, a common adjective, verb or adverb, or ends like one. spaCy's models look at the context instead: they keep 'running' in 'running
shoes' as a noun and drop it in 'running late', and they call more brand names and colours nouns or adjectives as they see fit. The same
name always gives the same nouns here, on every machine.
"""

import re
from functools import lru_cache

WORD = re.compile(r"[^\W\d_](?:[\w]|['’](?=\w))*")
# Endings of adjectives, adverbs and participles, with the length that a word must have for the rule to hold.
ENDINGS = ("able", "ible", "less", "ful", "ous", "ish", "ive", "ically", "ly", "proof", "ized", "ised", "ated", "est")
SHORTEST = 6
_NOUNS_DESPITE_ENDING = (
    """cable table vegetable collectible adhesive olive archive motive dish radish polish chest vest assembly supply family"""
)
_OTHERS = """a about above across after all also an and any are around as at be been before behind below between both but by can
    could do does down each every few for from had has have her his how i if in inside into is it its just may me
    more most my near new no nor not of off on once one only onto or other our out outside over per plus she so
    some such than that the their them then there these they this those through to together too under up upon us
    use used very via was we were what when where which while who whose why will with within without would you your
    adjustable antique authentic basic beautiful best better big black blue bright brown casual cheap classic clean
    clear cold comfy compatible complete contemporary cool cordless cozy curved cute dark decorative deep digital
    dry dual durable easy elastic electric electronic elegant essential extra fashionable fast fine fit flat
    flexible foldable folding formal free fresh full funny genuine gentle glossy good gray great green grey
    handmade happy hard healthy heavy high hot huge ideal indoor inflatable insulated international large late
    light little long loose lovely low luxurious magnetic manual many matte medium mini modern multiple natural
    neutral nice non novelty old orange ordinary organic original outdoor oval perfect personal pink plain portable
    powerful practical premium pretty professional pure purple quick quiet raw real red regular removable
    replaceable reusable rich right rigid rough round royal rustic safe sexy sharp short simple skinny sleek slim
    small smart smooth soft solid special square stackable standard stretchy strong stylish super sweet tall thick
    thin tight tiny top traditional transparent ultra unique universal unisex upgraded vintage warm washable
    waterproof white wide wild wired wireless wooden yellow young add allow apply bring build buy carry choose
    create enjoy fits get give go help hold keep let made make need offer protect provide put reduce remove see
    support take wear works x cm mm inch inches ft oz lb lbs ml kg pcs pc pk xl xxl xs"""
NOUNS_DESPITE_ENDING = frozenset(_NOUNS_DESPITE_ENDING.split())
OTHERS = frozenset(_OTHERS.split())


@lru_cache(maxsize=50_000)
def nouns(name: str) -> tuple[str, ...]:
    """Every noun of the name in lower case, in order, with repetitions."""
    return tuple(word for word in (found.lower() for found in WORD.findall(name)) if is_noun(word))


def is_noun(word: str) -> bool:
    if len(word) < 2 or word in OTHERS:
        return False
    return word in NOUNS_DESPITE_ENDING or len(word) < SHORTEST or not word.endswith(ENDINGS)
