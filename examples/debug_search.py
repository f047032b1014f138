"""A search in steps: look at it, change a score, and see what becomes of either.

Run it with `python -m examples.debug_search`, or cell by cell in a notebook. It needs
no network and no GPU: the policy and the verifier ship with the package. In a terminal,
`langchain-tts debug "QUESTION"` does the same by keys.
"""

# %% A beam search that waits before each of its nodes.
from langchain_tts import Budget, SearchContext
from langchain_tts.debugger import SearchDebugger

QUESTION = (
    "Tom has 48 stamps. Tom gives away 19. Then Tom has 4 times as many. "
    "Tom finds 37. How many stamps does Tom have now?"
)

debugger = SearchDebugger(QUESTION, context=SearchContext(budget=Budget(8)), seed=0)
print(debugger)

# %% The policy proposes first steps, and the verifier scores them.
debugger.step()
debugger.step()
for candidate in debugger.tree:
    print(f"#{candidate['id']}  {candidate['score']:.2f}  {candidate['text']}")
print("next:", debugger.next)

# %% What if the verifier had believed a wrong step? A branch keeps the search as it is.
wrong = [c["id"] for c in debugger.tree if c["text"] == "48-19=39"]
debugger.fork("fooled")
for i in wrong[:2]:
    debugger.rescore(i, 1.0)
debugger.step()
print(f"\nfooled: goes on with {debugger.state['frontier']}, next: {debugger.next}")

# %% And what if somebody had put these steps right? They are scored again.
debugger.fork("corrected")
for i in debugger.state["frontier"]:
    debugger.rewrite(i, "48-19=29")
    step = debugger.tree[i]
    print(f"#{i}  {step['score']:.2f}  {step['text']}  log p {step['logprob']:.2f}")

# %% All three go on to their ends.
print()
for branch in debugger.branches():
    debugger.switch(branch)
    result = debugger.run()
    print(
        f"{branch:<10} {result['answer']:>4}", result["spent"]["policy_calls"], "calls"
    )

# %% Where they parted, and what is different.
print()
print(debugger.compare("main", "fooled"))

# %% Every point of a branch can be gone back to.
print()
debugger.switch("corrected")
for point in debugger.history[:6]:
    print(point.number, f"round {point.round}", point.did)
debugger.back(2)
print(debugger)
debugger.close()
