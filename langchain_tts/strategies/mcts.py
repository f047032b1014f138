"""Monte Carlo tree search (MCTS): simulations that learn where good answers are.

Selection by PUCT as in Silver et al. 2017 ("Mastering the game of Go without human
knowledge", Methods), over steps of an answer, with a verifier in place of the value
network and shares of samples in place of the policy network's probabilities.

1. Sample N first steps from the question and score them. A simulation starts there.
2. It goes on to the child of which Q + c P sqrt(V) / (1 + v) is largest. Q is the mean
   value of the simulations that passed through the child; before the first, the
   verifier's score of its step. P is the share of all samples here that wrote this step
   (equal siblings are one child), V and v are the visits of the node and of the child
   so far, and c is `exploration`. Ties go to the step with the higher log-probability,
   then to the one sampled first. No simulation goes to the same answer again.
3. At the step that it comes to it samples M more next steps, whether there are children
   or not, scores them, and goes on with 2: a step that was visited v times has had M v
   samples.
4. It ends at an answer, whose value is its score; where all children were ended at
   before, with the mean value so far; where no step is possible (all proposals were
   cut, lost or empty, or there are `max_rounds` steps), with value 0. The value counts
   for all nodes on the path.
5. The search is over after max(1, N // M) simulations, when N answers are final, when
   all first steps are answers that were visited, or when the budget is spent.
6. Vote over all answers, those among them that were proposed but not visited.

Sampling more at each visit is progressive widening (Coulom 2007, "Computing Elo ratings
of move patterns in the game of Go"), here with an exponent of 1. Nothing is played out
at random: the verifier judges each step, and a simulation goes on to the end of an
answer instead.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals for each depth, as in beam search, M a round: max(1, N // M)
simulations, each of as many rounds as its answer has steps after the first.
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
    if _tree_search.places(state, setting) <= 0:
        return Selection([], [])
    rules = Rules(
        simulations=_tree_search.ends(state, setting),
        exploration=setting.context.exploration,
        deepest=setting.context.max_rounds,
    )
    # The step that was expanded is where the simulation is.
    here = next(iter(state.get("frontier", [])), None)
    expand, ended = simulate(state["tree"], state.get("visited", []), here, rules)
    return _tree_search.selection(state, setting, expand, ended)
