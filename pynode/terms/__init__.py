"""Erlang terms as Python values: what Python lacks, their order, identity and notation."""

from pynode.terms.atom import Atom, atom, elixir
from pynode.terms.compound import BitString, ExportFun, ImproperList, OpaqueFun, Record
from pynode.terms.identifiers import Pid, Port, Reference
from pynode.terms.notation import format_elixir, format_erlang
from pynode.terms.order import compare, identical, sort_key
from pynode.terms.rebuild import copy_term
from pynode.terms.term_map import TermMap
from pynode.terms.text import charlist, charlist_text, to_text

__all__ = [
    "Atom",
    "BitString",
    "ExportFun",
    "ImproperList",
    "OpaqueFun",
    "Pid",
    "Port",
    "Record",
    "Reference",
    "TermMap",
    "atom",
    "charlist",
    "charlist_text",
    "compare",
    "copy_term",
    "elixir",
    "format_elixir",
    "format_erlang",
    "identical",
    "sort_key",
    "to_text",
]
