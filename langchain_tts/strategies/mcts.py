"""Monte Carlo tree search (MCTS): simulations that learn where good answers are.

Selection by PUCT as in Silver et al. 2017 ("Mastering the game of Go without human
knowledge", Methods), over steps of an answer, with a verifier in place of the value
network and shares of samples in place of the policy network's probabilities.

1. A simulation starts at the question. At a node with children it goes to the child of
   which Q + c P sqrt(V) / (1 + v) is largest. Q is the mean value of the simulations
   that passed through the child; before the first, the verifier's score of its step. P
   is the share of the samples that wrote this step (equal siblings are one child), V
   and v are the visits of the node and of the child so far, and c is `exploration`.
   Ties go to the step with the higher log-probability, then to the one sampled first.
2. At a node without children it samples M next steps, scores them, and goes on.
3. It ends at an answer, whose value is its score, or where no step is possible (all
   proposals were cut, lost or empty, or there are `max_rounds` steps), with value 0.
   The value counts for all nodes on the path.
4. No simulation goes again to where one has ended, nor to a node below which all have
   ended.
5. The search is over after max(1, N // M) simulations, when N answers are final, when
   there is nothing left to visit, or when the budget is spent.
6. Vote over all answers, those among them that were proposed but not visited.

Nothing is played out at random: the verifier judges each step, and a simulation goes on
to the end of an answer instead.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: M proposals a round; in all about M times the steps of an answer for each of the
N // M simulations, less where they share steps. No step gets more than M next ones: a
policy that often writes the same steps leaves nothing to visit long before N is used,
and a larger M is what widens the tree. With M = 1 there is one path, and one answer.
"""

from __future__ import annotations

from langchain_tts.search.puct import Rules, simulate
from langchain_tts.search.select import Selection
from langchain_tts.strategies import _tree_search
from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of Monte Carlo tree search."""
    return _tree_search.build("mcts", _choose)


def _choose(state: SearchState, setting: Setting) -> Selection:
    tree = state["tree"]
    # A step that had no room for another one ended its simulation.
    full = [i for i in state.get("frontier", []) if tree[i]["status"] != "active"]
    if _tree_search.places(state, setting) <= 0:
        return Selection([], [], {"visited": full})
    rules = Rules(
        simulations=_tree_search.trajectories(setting),
        exploration=setting.context.exploration,
        deepest=setting.context.max_rounds,
    )
    expand, ended = simulate(tree, [*state.get("visited", []), *full], rules)
    return _tree_search.selection(state, setting, expand, [*full, *ended])
