package shop;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestTemplate;

@SpringBootApplication
@RestController
public class AccountsApplication {
    private static final Logger log = LoggerFactory.getLogger(AccountsApplication.class);
    private final RestTemplate rest = new RestTemplate();

    public static void main(String[] args) {
        SpringApplication.run(AccountsApplication.class, args);
    }

    @PostMapping("/accounts")
    public String create(@RequestBody Account account) {
        System.out.println("creating");
        log.info("password of {} is {}", account.getName(), account.getPassword());
        try {
            return rest.getForObject("http://ledger/accounts", String.class);
        } catch (Exception e) {
            log.error("ledger does not answer");
            return "failed";
        }
    }
}
