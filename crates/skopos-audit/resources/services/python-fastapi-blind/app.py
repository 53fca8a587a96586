from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def root():
    print("hello")
    return {"hello": "world"}
