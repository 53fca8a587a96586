const yargs = require('yargs');
console.log(yargs(process.argv).argv);
