#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    bnfold_fuzz::run("fold", input);
});
