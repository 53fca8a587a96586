package main

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/gin-gonic/gin"
)

type card struct {
	Number string `json:"number"`
	CVV    string `json:"cvv"`
}

func main() {
	gin.SetMode(gin.DebugMode)
	r := gin.New()
	r.POST("/payments", pay)
	fmt.Println("listening")
	log.Fatal(http.ListenAndServe(":8080", r))
}

func pay(c *gin.Context) {
	token := c.GetHeader("Authorization")
	fmt.Printf("token %s\n", token)
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		c.JSON(http.StatusInternalServerError, gin.H{"error": "read"})
		return
	}
	log.Printf("body %s", body)
	resp, err := http.Get("http://ledger:8080/book")
	if err != nil {
		c.JSON(500, gin.H{"error": "ledger"})
		return
	}
	defer resp.Body.Close()
	c.JSON(200, gin.H{"ok": true})
}
