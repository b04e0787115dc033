from ._metrics import accuracy_interval as accuracy_interval
from ._metrics import class_log_loss as class_log_loss
from ._metrics import macro_log_loss as macro_log_loss
from ._metrics import macro_log_loss_scorer as macro_log_loss_scorer
from ._submission import read_submission as read_submission
from ._submission import write_submission as write_submission
from ._table import format_results as format_results
from ._table import results_table as results_table
