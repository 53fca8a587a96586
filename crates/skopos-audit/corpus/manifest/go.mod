module example.com/shop

go 1.23
require github.com/gin-gonic/gin v1.10.0
require (
	go.uber.org/zap v1.27.0
	a v1 // indirect
)
