"""verl's launcher on this machine's CPU: `python -m rvpo_verl.cpu [HYDRA OVERRIDES]...`"""

import os
import sys

from rvpo_verl.cpu.launch import cpu_overrides, environment

if __name__ == "__main__":
    # Hydra takes the last value of a key that is given twice.
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *cpu_overrides(), *sys.argv[1:]]
    os.execve(sys.executable, command, environment())
