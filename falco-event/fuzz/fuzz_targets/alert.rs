//! Any bytes as the body of a request.
#![no_main]

use falco_event::proptest1::checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| assert_eq!(checks::body(bytes), Ok(())));
