"""Pictures, open-set tables and breakdowns of a scored test set, and the page that collects them."""

from reid.report.options import ReportOptions
from reid.report.write import write_report

__all__ = ["ReportOptions", "write_report"]
