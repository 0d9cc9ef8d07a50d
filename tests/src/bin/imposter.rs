//! What is deployed by mistake: a program that is no cluster's, or one of another version of it.
//!
//! `silent` says nothing and lives on; `stranger` says hello in another protocol; `quits` ends at once.
//! Each as a zygote only.

use cluster_tests::{deploy::marks, foreign, proc::Process};

fn main() {
    let handover = std::env::var("CLUSTER_HANDOVER").expect("a master started it");
    match marks().1.as_str() {
        "stranger" => {
            let link = handover.split('.').nth(1).and_then(|n| n.parse().ok()).expect("a link");
            say_hello(link);
        }
        "quits" => {
            eprintln!("imposter: wrong program");
            std::process::exit(3);
        }
        _ => {}
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

fn say_hello(link: i32) {
    let link = foreign::copy(&Process::this(), link).expect("the master has named a descriptor");
    // The first frame of a zygote, with 999 for its protocol (postcard).
    let hello = [0, 0xe7, 0x07];
    rustix::net::send(&link, &hello, rustix::net::SendFlags::empty()).expect("a link");
}
