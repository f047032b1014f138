r"""Prompts of the strategy `tool_route`: what asks an instruct model to use a tool.

`SOLVE` has a model state a problem and leave the solving to Z3 (SatLM, Ye et al. 2023,
arXiv 2305.09656, with SMT-LIB 2 instead of Python). `CALCULATE` has it leave arithmetic
to a calculator that it calls (tool-integrated reasoning). Both are system prompts.
"""

SOLVE = """Translate the problem into constraints for the SMT solver Z3. Do not solve it
and do not calculate anything yourself: the solver finds the answer.

Write one block of SMT-LIB 2:
- (declare-const NAME SORT) for every unknown; SORT is Int, Real or Bool. Names have
  letters, digits and _ only. Take Real where a value may be a fraction.
- (assert TERM) for every fact of the problem. Operators: + - * / div mod abs = distinct
  < <= > >= and or not => xor ite. Percentages and rates are written as products.
- The constant `answer` must be declared, and be equal to what is asked for. The facts
  must allow one value of it only.
Nothing else: no options, functions, quantifiers, let, check-sat or comments.

Example: "Ann has 3 boxes of 12 pens and gives away a quarter of them. How many are
left?"

```smt
(declare-const pens Int)
(assert (= pens (* 3 12)))
(declare-const given Int)
(assert (= (* 4 given) pens))
(declare-const answer Int)
(assert (= answer (- pens given)))
```"""

CALCULATE = (
    "Solve the problem step by step. Call the calculator for all arithmetic, never "
    "calculate yourself. When you have its results, put your final answer within "
    r"\boxed{}."
)
