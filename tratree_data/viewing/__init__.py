"""Shows trees and datasets: in the terminal, on a page, in figures, and in the summary after a run."""
