//! The HTML report in a real browser; skipped, with a word on standard error, where Chromium is not installed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bnfold::testing::{Tensor, ToBytes, model};

mod desk;
use desk::{Desk, code, stderr, stdout};

/// Chromium's names on the systems that have it.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
/// What keeps a browser from doing anything but showing a page.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=20000",
    "--dump-dom",
];

const HOSTILE: &str = "<script>window.hostile=1</script>\"'><img src=x onerror=\"window.hostile=1\">\u{202e}\u{1}</details></style>";

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|directory| NAMES.map(|name| directory.join(name)))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        // Not by a macro, whose words a passing test would keep to itself.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no Chromium, so the HTML report is not looked at in a browser"
        );
    }
    found
}

/// Models of every kind: folded, staying, unreadable, one whose names are hostile, and one of many nodes.
fn zoo() -> Desk {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("zoo")).expect("a directory");
    let chain = model(|g| {
        let x = g.input("x", [1, 4, 16, 16]).conv(4).average_pool([3, 3]);
        let x = x.batch_norm().relu().conv(6).batch_norm();
        x.relu().output("y")
    });
    desk.put("zoo/chain.onnx", &chain.to_bytes());
    let dead = model(|g| {
        let scale = g.initializer("scale", Tensor::floats(&[4], [1.0, 2.0, 0.0, 1.0]));
        let norm = g.input("x", [1, 4, 5, 5]).sigmoid().batch_norm();
        norm.with_input(1, &scale).sigmoid().output("y")
    });
    desk.put("zoo/dead.onnx", &dead.to_bytes());
    let mut hostile = model(|g| {
        let x = g.input("x", [1, 4, 5, 5]).conv(4).batch_norm();
        x.sigmoid().batch_norm().sigmoid().output("y")
    });
    for (at, node) in hostile
        .graph
        .get_or_insert_default()
        .node
        .iter_mut()
        .enumerate()
    {
        node.name = Some(format!("{HOSTILE}{at}"));
    }
    desk.put("zoo/hostile.onnx", &hostile.to_bytes());
    desk.put(
        "zoo/none.onnx",
        &model(|g| g.input("x", [1, 4]).relu().output("y")).to_bytes(),
    );
    desk.put("zoo/broken.onnx", b"\x08");
    let many = model(|g| {
        let x = g.input("x", [1, 2, 3, 3]);
        (0..60)
            .fold(x, |x, _| x.sigmoid().batch_norm())
            .sigmoid()
            .output("y")
    });
    desk.put("zoo/many.onnx", &many.to_bytes());
    desk
}

/// What a page becomes in the browser.
fn shown(browser: &Path, desk: &Desk, page: &str, flags: &[&str]) -> Output {
    let profile = tempfile::tempdir().expect("a directory for the browser");
    Command::new(browser)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(flags)
        .arg(format!("file://{}", desk.path(page).display()))
        .output()
        .expect("the browser runs")
}

#[test]
fn the_page_works_in_light_and_dark_and_on_a_narrow_screen() {
    let Some(browser) = browser() else { return };
    let desk = zoo();
    let check = desk.run(&["check", "zoo", "--layers", "--report", "report.html"]);
    assert_eq!(code(&check), 2, "{}", stderr(&check));
    let page = std::fs::read_to_string(desk.path("report.html")).expect("the report");
    let test = include_str!("html/self_test.js");
    let tested = page.replace("</body>", &format!("<script>{test}</script></body>"));
    desk.put("tested.html", tested.as_bytes());
    for (flags, state) in [
        (&["--window-size=1280,900"][..], "light 1280"),
        (
            &[
                "--window-size=1280,900",
                "--blink-settings=preferredColorScheme=0",
            ],
            "dark 1280",
        ),
        (&["--window-size=500,900"], "light 500"),
    ] {
        let shown = shown(&browser, &desk, "tested.html", flags);
        let (page, log) = (stdout(&shown), stderr(&shown));
        let result = page
            .split_once("<pre id=\"self-test\">")
            .and_then(|(_, rest)| rest.split_once("</pre>"));
        let (result, _) =
            result.unwrap_or_else(|| panic!("the page did not get to its end: {log}"));
        assert_eq!(result, state, "{}", stdout(&check));
        assert!(!log.contains("CONSOLE"), "{log}");
    }
}

#[test]
fn the_self_test_sees_what_is_wrong() {
    let Some(browser) = browser() else { return };
    let desk = zoo();
    desk.run(&["check", "zoo", "--report", "report.html"]);
    let page = std::fs::read_to_string(desk.path("report.html")).expect("the report");
    let test = include_str!("html/self_test.js");
    let end = format!("<img src=\"http://127.0.0.1:9/x.png\"><script>{test}</script></body>");
    let spoilt = page
        .replace("--muted: #59636e", "--muted: #b0b0b0")
        .replace("row.hidden = !has(words)", "row.hidden = false")
        .replace("</body>", &end);
    desk.put("spoilt.html", spoilt.as_bytes());
    let shown = shown(&browser, &desk, "spoilt.html", &["--window-size=1280,900"]);
    let page = stdout(&shown);
    for part in [
        "a name became an element",
        "the filter shows",
        "stands out by 2",
    ] {
        assert!(page.contains(part), "{part}: {}", stderr(&shown));
    }
    assert!(
        stderr(&shown).contains("CONSOLE"),
        "the policy of the page forbids the picture"
    );
}

#[test]
fn a_merged_page_is_that_of_one_check_where_the_shards_keep_pictures() {
    let desk = zoo();
    desk.run(&["check", "zoo", "--report", "whole.html"]);
    for index in ["1", "2"] {
        let (shard, report) = (format!("{index}/2"), format!("{index}.json"));
        desk.run(&[
            "check",
            "zoo",
            "--shard",
            &shard,
            "--report",
            &report,
            "--pictures",
        ]);
    }
    desk.run(&[
        "report",
        "merge",
        "1.json",
        "2.json",
        "--report",
        "merged.html",
    ]);
    let [whole, merged] = ["whole.html", "merged.html"]
        .map(|name| std::fs::read_to_string(desk.path(name)).expect("a page"));
    assert!(whole.contains("<svg class=\"graph\""));
    assert!(whole == merged, "both pages are the same");
}

#[test]
fn the_page_holds_no_name_as_markup_and_no_address() {
    let desk = zoo();
    desk.run(&["check", "zoo", "--report", "report.html"]);
    let page = std::fs::read_to_string(desk.path("report.html")).expect("the report");
    assert!(page.contains("&lt;script&gt;window.hostile=1"));
    assert!(!page.contains("<script>window") && !page.contains("<img"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1}'));
    assert!(!page.contains("http://") && !page.contains("https://"));
}
