import { Body, Controller, Logger, Post } from '@nestjs/common';

class CreateUser {
  name: string;
  password: string;
}

@Controller('users')
export class UsersController {
  private readonly logger = new Logger(UsersController.name);

  @Post()
  create(@Body() dto: CreateUser) {
    this.logger.log(`creating ${dto.name} with ${dto.password}`);
    return { ok: true };
  }
}
