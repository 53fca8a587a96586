from fastapi import FastAPI
app = FastAPI(
def (:
    print("x"
