fn main() {
    cluster::Builder::new().preload(|| 7_u32).run_roles(|_| async {});
}
