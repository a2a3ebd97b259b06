"""`python -m rvpo_verl.cli.preflight TASK...`, for scripts/eval.sh: prints the models of policy and judge.

One line each; the judge's is empty if no task needs a judge. Addresses, keys and names are read from POLICY_BASE_URL,
POLICY_API_KEY, POLICY_MODEL and the same for JUDGE.
"""

import os
import sys

from rvpo_verl.errors import UserError
from rvpo_verl.evaluation.preflight import check

if __name__ == "__main__":
    try:
        models = check(sys.argv[1:], os.environ)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(*(model or "" for model in models), sep="\n")
