struct App;

impl App {
    #[cluster::main]
    async fn main(&self) {
        let _ = self;
    }
}

fn main() {
    drop(App.main());
}
