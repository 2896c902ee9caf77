//! Any bytes as a request: headers, an empty line, a body.
#![no_main]

use falco_event::proptest1::checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assert_eq!(checks::request(bytes), Ok(())));
