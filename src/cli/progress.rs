//! A spinner that says which stage is running, when standard error is a terminal and the work takes long.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows the stage that is running.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A spinner, unless nobody would see it or it is not wanted.
    pub(super) fn new(wanted: bool) -> Progress {
        if !wanted || !std::io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(bar)
    }

    /// Counts so many steps of a stage.
    pub(super) fn steps(&self, name: &'static str, position: usize, length: usize) {
        let style = ProgressStyle::with_template(
            "{spinner} {msg} {bar:30} {pos}/{len} ({elapsed}, {eta} left)",
        );
        if self.0.length() != Some(length as u64) {
            self.0
                .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.0.set_length(length as u64);
        }
        self.0.set_message(name);
        self.0.set_position(position as u64);
    }

    /// A bar for so many models, unless nobody would see it.
    pub(super) fn counting(models: usize) -> Progress {
        if models < 2 || !std::io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(models as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} models ({elapsed})");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress(bar)
    }

    /// One model is done.
    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    /// Names the stage.
    pub(super) fn stage(&self, name: &'static str) {
        self.0.set_message(name);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
