import logging
import re

WORD = re.compile("a+")
log = logging.getLogger(__name__)


def name():
    return WORD
