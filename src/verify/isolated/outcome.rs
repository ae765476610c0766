//! How a worker ended that gave no answer, in words.

use std::process::ExitStatus;

/// `words` is what it wrote to standard error.
pub(super) fn describe(status: ExitStatus, words: &[u8], memory: Option<u64>) -> String {
    let words = String::from_utf8_lossy(words);
    let last = words
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or_default();
    if words.contains("memory allocation of") || words.contains("failed to spawn thread") {
        return match memory {
            Some(limit) => format!("outgrew its limit of {limit} bytes"),
            None => "ran out of memory".to_owned(),
        };
    }
    if words.contains("overflowed its stack") {
        return "overflowed its stack".to_owned();
    }
    if let Some(message) = panic_message(&words) {
        return format!("crashed: {message}");
    }
    let how = match signal(status) {
        Some(9) => "was killed, as systems do when memory runs out".to_owned(),
        Some(number) => format!("ended by signal {number}"),
        None => match status.code() {
            Some(code) => format!("ended with code {code} and without an answer"),
            None => "ended without an answer".to_owned(),
        },
    };
    if last.is_empty() {
        how
    } else {
        format!("{how}: {last}")
    }
}

/// The line behind the one that says where a thread panicked.
fn panic_message(words: &str) -> Option<&str> {
    let mut lines = words.lines().map(str::trim);
    lines.find(|line| line.contains("panicked at"))?;
    lines.find(|line| !line.is_empty())
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.signal()
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn each_end_has_its_words() {
        let abort = ExitStatus::from_raw(6);
        let memory = b"memory allocation of 8589934592 bytes failed\n";
        assert_eq!(
            describe(abort, memory, Some(1 << 20)),
            "outgrew its limit of 1048576 bytes"
        );
        assert_eq!(describe(abort, memory, None), "ran out of memory");
        assert_eq!(describe(abort, b"", None), "ended by signal 6");
        assert_eq!(
            describe(abort, b"a\nworse\n\n", None),
            "ended by signal 6: worse"
        );
        assert!(describe(ExitStatus::from_raw(9), b"", None).contains("killed"));
        let stack = b"thread 'main' has overflowed its stack\nfatal runtime error\n";
        assert_eq!(describe(abort, stack, None), "overflowed its stack");
        let panic = b"thread 'main' (7) panicked at src/a.rs:1:2:\nno way\nnote: run with `RUST_BACKTRACE=1`\n";
        let crash = ExitStatus::from_raw(101 << 8);
        assert_eq!(describe(crash, panic, None), "crashed: no way");
        let code = ExitStatus::from_raw(3 << 8);
        assert_eq!(
            describe(code, b"", None),
            "ended with code 3 and without an answer"
        );
    }
}
