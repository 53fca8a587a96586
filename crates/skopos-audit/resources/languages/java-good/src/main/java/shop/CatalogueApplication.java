package shop;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class CatalogueApplication {
    private static final Logger log = LoggerFactory.getLogger(CatalogueApplication.class);

    public static void main(String[] args) {
        SpringApplication.run(CatalogueApplication.class, args);
    }

    @GetMapping("/books")
    public String books() {
        log.info("books listed");
        return "[]";
    }
}
