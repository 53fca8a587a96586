use axum::{Router, routing::post};

#[derive(Debug)]
struct Login {
    email: String,
    password: String,
}

#[tokio::main]
async fn main() {
    let app = Router::new().route("/login", post(login));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await.unwrap();
    println!("listening");
    axum::serve(listener, app).await.unwrap();
}

async fn login(login: Login) -> &'static str {
    let password = login.password;
    println!("login with {password}");
    let answer = reqwest::get("http://users:8080/check").await;
    if let Err(error) = answer {
        println!("users do not answer: {error}");
    }
    "ok"
}
