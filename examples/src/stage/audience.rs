//! Who reads what a director prints: a person, a file, or a program that may stop reading, as `head` does.

use std::io::{self, Write, stdout};

use tokio::sync::Notify;

/// Notified once nobody reads any more.
static LEFT: Notify = Notify::const_new();

/// Prints as it is, at once. If nobody reads that any more, the play that goes on ends: see
/// [`play`](super::play). Any other failure to print, such as a full disk, ends nothing.
pub fn show(text: &str) {
    let mut out = stdout().lock();
    let shown = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if shown.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        LEFT.notify_one();
    }
}

/// Waits until nobody reads any more.
pub(super) async fn has_left() {
    LEFT.notified().await;
}
