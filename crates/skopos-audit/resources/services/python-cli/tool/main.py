import click


@click.command()
def run():
    print("done")
