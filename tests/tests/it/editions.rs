//! Two editions of a program at once, whose messages differ in a nested type: refused, and never misread.

use cluster_tests::{Running, Signal, deploy::Deployed, fixture};

/// Waits for a line of `who` with `text`, and returns it with its place in the output.
fn line_of(program: &Running, who: &str, text: &str) -> (usize, String) {
    cluster_tests::eventually(&format!("{who} {text}"), || {
        let lines = program.output().into_iter().enumerate();
        lines.into_iter().find(|(_, line)| line.starts_with(who) && line.contains(text))
    })
}

fn reload(program: &Running, deployed: &Deployed, edition: &str, generation: u32) {
    deployed.replace(fixture!("editions"), edition, "serve");
    program.signal(Signal::HUP);
    program.line(&format!("reload to generation {generation} finished"));
}

#[test]
fn another_edition_of_a_message_is_an_error_and_the_next_good_one_is_read() {
    let deployed = Deployed::new(fixture!("editions"), "one", "serve");
    let program = deployed.start(&[]);
    let master = "master of edition one";
    for slot in [0, 1] {
        let by = format!("by: \"slot {slot}, generation 1 of edition one\"");
        line_of(&program, master, &format!("reads News {{ {by}, articles: [Some(Article"));
    }

    reload(&program, &deployed, "two", 2);
    let (_, line) = line_of(&program, master, " refuses: ");
    assert!(line.contains("receive `shop.news` from worker "), "{line}");
    let layouts =
        "the sender's layout (generation 2) is not the one of this process (generation 1)";
    assert!(line.ends_with(layouts), "{line}");
    for (slot, other) in [(0, 1), (1, 0)] {
        let me = format!("slot {slot}, generation 2 of edition two");
        let (refused, line) = line_of(&program, &me, " refuses: ");
        let layouts = "layout (generation 1) is not the one of this process (generation 2)";
        assert!(line.contains(layouts), "{line}");
        // The other worker of this edition sends it after it has refused the same.
        let good = format!("reads News {{ by: \"slot {other}, generation 2 of edition two\"");
        let (read, line) = line_of(&program, &me, &good);
        assert!(line.ends_with("articles: [Some(Article { price: -3 }), None] }"), "{line}");
        assert!(refused < read, "{:#?}", program.output());
    }

    // And the master, after what it has refused, when the first edition is back.
    reload(&program, &deployed, "one", 3);
    let (_, line) = line_of(&program, master, "generation 3 of edition one");
    assert!(line.ends_with("articles: [Some(Article { price: 5 }), None] }"), "{line}");
    assert_nothing_misread(&program.output());
    program.stop();
}

/// Whoever reads is of the edition of whoever wrote.
fn assert_nothing_misread(output: &[String]) {
    for line in output {
        let Some((reader, message)) = line.split_once(" reads ") else { continue };
        let edition = |text: &str| text.contains("edition two");
        assert_eq!(edition(reader), edition(message), "{line}");
    }
}
