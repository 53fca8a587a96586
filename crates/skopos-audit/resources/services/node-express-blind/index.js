const express = require('express');
const axios = require('axios');

const app = express();
app.use(express.json());

app.post('/carts', async (req, res) => {
  console.log('new cart', req.body);
  try {
    const stock = await axios.get('http://inventory/items');
    res.json(stock.data);
  } catch (err) {
    res.status(500).json({ error: 'failed' });
  }
});

app.listen(3000, () => {
  console.log(`listening, database ${process.env.DATABASE_URL}`);
});
