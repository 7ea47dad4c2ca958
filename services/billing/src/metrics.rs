//! Billing's metrics, by exactly these names.

use std::sync::LazyLock;

use devstudio_kit::metrics::counter;
use prometheus::IntCounterVec;

/// Tokens that were billed, by model and kind (prompt, completion).
pub(crate) static TOKEN_SPEND: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("token_spend", "Tokens billed, by model and kind.", &["model", "kind"]));

/// Reservations and extensions that a budget refused, by its scope.
pub(crate) static TOKEN_BUDGET_DENIED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("token_budget_denied", "Reservations and extensions that a budget refused.", &["scope"])
});
