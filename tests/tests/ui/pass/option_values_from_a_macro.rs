macro_rules! program {
    ($workers:expr, $give_up:literal, $age:literal, $init:path, $role:ty) => {
        #[cluster::main(workers = $workers, give_up = $give_up, recycle(age = $age), init = $init)]
        async fn main(_role: $role) {}
    };
}

fn setup() {}

program!(1 + 0, 3, "1h", setup, cluster::Role);
