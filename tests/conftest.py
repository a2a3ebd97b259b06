import sys
from pathlib import Path

# Helpers that several test modules share (`reference`, `launcher`) are plain modules beside them.
sys.path.insert(0, str(Path(__file__).parent))
