"""Which row does what: the workloads A to K of the benchmark, a function each."""

from .bench import Case
from .plan_growth import f_sessions, j_subscribe, k_growth, l_import
from .plan_reading import c_read, d_last, e_tree, g_memory
from .plan_writing import a_append, b_round_robin, h_crowd, i_together
from .scale import Scale

WORKLOADS = {
    "A": a_append,
    "B": b_round_robin,
    "C": c_read,
    "D": d_last,
    "E": e_tree,
    "F": f_sessions,
    "G": g_memory,
    "H": h_crowd,
    "I": i_together,
    "J": j_subscribe,
    "K": k_growth,
    "import": l_import,
}


def plan(scale: Scale, letters: list[str], rows: list[str]) -> list[Case]:
    """Return the cases of these workloads; with `rows`, only of rows whose names hold one."""
    cases = [case for letter in letters for case in WORKLOADS[letter](scale)]
    if not rows:
        return cases
    return [case for case in cases if any(row in case.row.name for row in rows)]
