from pynode.terms._pure_values import Atom, ImproperList, Pid, Reference, atom

__all__ = ["Atom", "ImproperList", "Pid", "Reference", "atom"]
